"""CLIP-DINOiser on COCO-Stuff.

    python tools/test.py configs/dinoiser_coco_stuff.py --cfg-options data_root=data/coco_stuff164k

Published: 24.6 mIoU.
"""

from mmengine.config import read_base

with read_base():
    from .coco_stuff import *

model.update(model="dinoiser")
