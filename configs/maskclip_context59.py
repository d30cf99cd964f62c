"""MaskCLIP on PASCAL-Context without background.

    python tools/test.py configs/maskclip_context59.py --cfg-options data_root=data/VOCdevkit

Published with these weights (LAION-2B ViT-B/16), as the baseline of CLIP-DINOiser: 25.5 mIoU.
"""

from mmengine.config import read_base

with read_base():
    from .context59 import *

model.update(model="maskclip")
