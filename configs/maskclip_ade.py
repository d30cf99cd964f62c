"""MaskCLIP on ADE20K.

    python tools/test.py configs/maskclip_ade.py --cfg-options data_root=data/ade

Published with these weights (LAION-2B ViT-B/16), as the baseline of CLIP-DINOiser: 14.2 mIoU.
"""

from mmengine.config import read_base

with read_base():
    from .ade import *

model.update(model="maskclip")
