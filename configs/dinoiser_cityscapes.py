"""CLIP-DINOiser on Cityscapes.

    python tools/test.py configs/dinoiser_cityscapes.py --cfg-options data_root=data/cityscapes

Published: 31.7 mIoU.
"""

from mmengine.config import read_base

with read_base():
    from .cityscapes import *

model.update(model="dinoiser")
