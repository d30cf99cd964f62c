"""CLIP-DINOiser on ADE20K.

    python tools/test.py configs/dinoiser_ade.py --cfg-options data_root=data/ade

Published: 20.0 mIoU.
"""

from mmengine.config import read_base

with read_base():
    from .ade import *

model.update(model="dinoiser")
