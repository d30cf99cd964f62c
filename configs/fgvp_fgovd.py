"""FG-OVD (Bianchi et al., CVPR 2024): the true caption of a box among hard negatives, regions marked as in FGVP.

    python tools/test.py configs/fgvp_fgovd.py --cfg-options data_root=data/fgovd

Every ``.json`` file in the folder is a group of its own (1_attributes, 2_attributes, …, color, material, …); the images
are those of COCO and PACO. No figure is published for true boxes.
"""

from mmengine.dataset import DefaultSampler

from densevl.benchmarks.regions.datasets import CaptionedRegions
from densevl.benchmarks.regions.metrics import ChoiceMetric
from densevl.benchmarks.regions.model import RegionChooser

model = dict(type=RegionChooser, segmentor="fgvp-seg", templates="none")
test_evaluator = dict(type=ChoiceMetric)
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type=DefaultSampler, shuffle=False, round_up=False),
    dataset=dict(type=CaptionedRegions, data_root="data/fgovd", annotations=None, image_folder="images"),
)
