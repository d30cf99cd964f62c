"""MaskCLIP on COCO-Object.

    python tools/test.py configs/maskclip_coco_object.py --cfg-options data_root=data/coco_stuff164k

No figure is published for these weights (LAION-2B ViT-B/16). With OpenAI's, which
``model.model=maskclip-openai-b16`` takes: 20.6 mIoU.
"""

from mmengine.config import read_base

with read_base():
    from .coco_object import *

model.update(model="maskclip")
