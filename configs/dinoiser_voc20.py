"""CLIP-DINOiser on PASCAL VOC without background.

    python tools/test.py configs/dinoiser_voc20.py --cfg-options data_root=data/VOCdevkit

Published: 80.9 mIoU.
"""

from mmengine.config import read_base

with read_base():
    from .voc20 import *

model.update(model="dinoiser")
