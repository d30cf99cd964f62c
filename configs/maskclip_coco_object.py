"""MaskCLIP on COCO-Object.

    python tools/test.py configs/maskclip_coco_object.py --cfg-options data_root=data/coco_stuff164k

No figure is published for these weights (LAION-2B ViT-B/16). With OpenAI's, which
``model.segmentor=maskclip-openai-b16`` takes: 20.6 mIoU.
"""

from mmengine.config import read_base

with read_base():
    from ._base_.coco_object import *
    from ._base_.maskclip import *

model.update(background="literal")
