"""CLOC on LVIS v1 val: the names of true boxes, 1203 to choose from, also by the frequency of categories.

    python tools/test.py configs/cloc_lvis_regions.py --cfg-options data_root=data/coco prompter=FILE

Published (not measured here), trained on WiT and DFN with 2B images: 28.5 mAcc with ViT-B/16, 32.6 L/14, 35.6 H/14;
from a finished CLIP in 100k steps 19.1. With RoIAlign in the prompter's place 13.2 (prompter 26.7, both on WiT).
Without a network or a training: `weights=mini-clip prompter=mini-cloc`, on photos a figure without meaning.
"""

from mmengine.config import read_base

with read_base():
    from ._base_.cloc import *
    from .lvis_regions import *

model.update(model=cloc)
test_dataloader.update(batch_size=8)
