"""FG-OVD (Bianchi et al., CVPR 2024): the true caption of a box among hard negatives, up to ten of them.

Every ``.json`` file in the folder is a group of its own (1_attributes, 2_attributes, …, color, material, …); the images
are those of COCO and PACO.
"""

from mmengine.dataset import DefaultSampler

from densevl.datasets.regions.datasets import CaptionedRegions
from densevl.benchmarks.regions.metrics import ChoiceMetric

test_evaluator = dict(type=ChoiceMetric)
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type=DefaultSampler, shuffle=False, round_up=False),
    dataset=dict(type=CaptionedRegions, data_root="data/fgovd", annotations=None, image_folder="images"),
)
