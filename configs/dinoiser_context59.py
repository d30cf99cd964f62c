"""CLIP-DINOiser on PASCAL-Context without background.

    python tools/test.py configs/dinoiser_context59.py --cfg-options data_root=data/VOCdevkit

Published: 35.9 mIoU.
"""

from mmengine.config import read_base

with read_base():
    from .context59 import *

model.update(model="dinoiser")
