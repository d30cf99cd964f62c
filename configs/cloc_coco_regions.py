"""CLOC on COCO val2017: the names of true boxes, 80 to choose from.

    python tools/test.py configs/cloc_coco_regions.py --cfg-options data_root=data/coco prompter=FILE

Published (not measured here), trained on WiT and DFN with 2B images: 71.1 mAcc with ViT-B/16, 72.9 L/14, 73.0 H/14;
from a finished CLIP in 100k steps 64.1. With RoIAlign in the prompter's place 55.3 (prompter 70.6, both on WiT).
Without a network or a training: `weights=mini-clip prompter=mini-cloc`, on photos a figure without meaning.
"""

from mmengine.config import read_base

with read_base():
    from ._base_.cloc import *
    from .coco_regions import *

model.update(model=cloc)
test_dataloader.update(batch_size=8)
