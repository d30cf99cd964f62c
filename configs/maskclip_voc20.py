"""MaskCLIP on PASCAL VOC without background.

    python tools/test.py configs/maskclip_voc20.py --cfg-options data_root=data/VOCdevkit

Published with these weights (LAION-2B ViT-B/16), as the baseline of CLIP-DINOiser: 61.8 mIoU.
"""

from mmengine.config import read_base

with read_base():
    from .voc20 import *

model.update(model="maskclip")
