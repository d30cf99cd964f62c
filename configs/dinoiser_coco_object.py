"""CLIP-DINOiser on COCO-Object.

    python tools/test.py configs/dinoiser_coco_object.py --cfg-options data_root=data/coco_stuff164k

Published: 34.8 mIoU.
The background is the class "background", found by its name and by the background head.
"""

from mmengine.config import read_base

with read_base():
    from .coco_object import *

model.update(model="dinoiser", background="head")
