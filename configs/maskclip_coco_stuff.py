"""MaskCLIP on COCO-Stuff.

    python tools/test.py configs/maskclip_coco_stuff.py --cfg-options data_root=data/coco_stuff164k

Published with these weights (LAION-2B ViT-B/16), as the baseline of CLIP-DINOiser: 17.5 mIoU.
"""

from mmengine.config import read_base

with read_base():
    from .coco_stuff import *

model.update(model="maskclip")
