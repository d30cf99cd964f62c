"""Region recognition on COCO val2017: the names of true boxes, 80 to choose from, regions marked as in FGVP.

    python tools/test.py configs/fgvp_coco_regions.py --cfg-options data_root=data/coco

Published for CLOC, whose protocol this is (class names without templates): 71.1 mAcc with ViT-B/16.
"""

from mmengine.config import read_base

from densevl.benchmarks.regions.model import RegionChooser

with read_base():
    from ._base_.coco_regions import *

model = dict(type=RegionChooser, segmentor="fgvp-seg", templates="none")
