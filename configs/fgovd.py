"""FG-OVD (Bianchi et al., CVPR 2024): the true caption of a box among hard negatives, up to ten of them.

    python tools/test.py configs/fgovd.py --model NAME --cfg-options data_root=data/fgovd

Every ``.json`` file in the folder is a group of its own (1_attributes, 2_attributes, …, color, material, …); the images
are those of COCO and PACO.
"""

from mmengine.config import read_base

from densevl.benchmarks.regions.metrics import ChoiceMetric
from densevl.datasets.regions.datasets import CaptionedRegions

with read_base():
    from ._base_.regions import *

test_dataloader["dataset"] = dict(
    type=CaptionedRegions, data_root="data/fgovd", annotations=None, image_folder="images"
)
test_evaluator = dict(type=ChoiceMetric)
