"""Referring expressions of held-out scenes with the mini CLOC: nothing to download.

    python tools/test.py configs/cloc_refer_scenes.py --cfg-options proposals=true

Accuracy is printed by the kind of expression, beside what choosing blindly would give. `proposals=everything` lets the
mini SAM find the regions; `model.relations=false` takes no relation out of the text.
"""

from mmengine.config import read_base

with read_base():
    from .refer_scenes import *

model.update(model="mini-cloc")
test_dataloader.update(batch_size=8)
