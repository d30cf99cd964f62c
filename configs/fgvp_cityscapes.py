"""Label maps of Cityscapes painted region by region: SAM's masks, marked as in FGVP.

    python tools/test.py configs/fgvp_cityscapes.py --cfg-options data_root=data/cityscapes

Ours; FGVP published no label maps, so there is no figure to reach. Without a network: `weights=mini-clip
mask_maker=mini-sam`, on photos a figure without meaning.
"""

from mmengine.config import read_base

with read_base():
    from .cityscapes import *

model.update(model="fgvp-seg")
