"""MaskCLIP on PASCAL VOC with background.

    python tools/test.py configs/maskclip_voc21.py --cfg-options data_root=data/VOCdevkit

No figure is published for these weights (LAION-2B ViT-B/16). With OpenAI's, which
``model.model=maskclip-openai-b16`` takes: 43.4 mIoU.
"""

from mmengine.config import read_base

with read_base():
    from .voc21 import *

model.update(model="maskclip")
