"""MaskCLIP on Cityscapes.

    python tools/test.py configs/maskclip_cityscapes.py --cfg-options data_root=data/cityscapes

Published with these weights (LAION-2B ViT-B/16), as the baseline of CLIP-DINOiser: 25.0 mIoU.
"""

from mmengine.config import read_base

with read_base():
    from .cityscapes import *

model.update(model="maskclip")
