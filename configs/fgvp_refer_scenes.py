"""Referring expressions of held-out scenes with the mini grounder: nothing to download.

    python tools/test.py configs/fgvp_refer_scenes.py --cfg-options proposals=true

Accuracy is printed by the kind of expression, beside what choosing blindly would give. `proposals=everything` lets the
mask maker find the regions.
"""

from mmengine.config import read_base

with read_base():
    from .refer_scenes import *

model.update(model="mini")
