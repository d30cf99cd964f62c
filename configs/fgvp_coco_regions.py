"""Region recognition on COCO val2017: the names of true boxes, 80 to choose from, regions marked as in FGVP.

    python tools/test.py configs/fgvp_coco_regions.py --cfg-options data_root=data/coco

Published for CLOC, whose protocol this is (class names without templates): 71.1 mAcc with ViT-B/16.
"""

from mmengine.config import read_base

with read_base():
    from .coco_regions import *

model.update(model="fgvp-seg")
