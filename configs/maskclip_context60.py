"""MaskCLIP on PASCAL-Context with background.

    python tools/test.py configs/maskclip_context60.py --cfg-options data_root=data/VOCdevkit

No figure is published for these weights (LAION-2B ViT-B/16). With OpenAI's, which
``model.model=maskclip-openai-b16`` takes: 23.2 mIoU.
"""

from mmengine.config import read_base

with read_base():
    from .context60 import *

model.update(model="maskclip")
