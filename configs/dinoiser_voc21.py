"""CLIP-DINOiser on PASCAL VOC with background.

    python tools/test.py configs/dinoiser_voc21.py --cfg-options data_root=data/VOCdevkit

Published: 62.1 mIoU.
The background is the class "background", found by its name and by the background head.
"""

from mmengine.config import read_base

with read_base():
    from .voc21 import *

model.update(model="dinoiser", background="head")
