"""CLIP-DINOiser on PASCAL-Context with background.

    python tools/test.py configs/dinoiser_context60.py --cfg-options data_root=data/VOCdevkit

Published: 32.4 mIoU.
The background is the class "background", found by its name; the published protocol leaves the head out here.
"""

from mmengine.config import read_base

with read_base():
    from .context60 import *

model.update(model="dinoiser")
