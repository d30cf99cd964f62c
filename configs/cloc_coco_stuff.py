"""CLOC's region embeddings painted as label maps of COCO-Stuff: SAM's masks, a name for each.

    python tools/test.py configs/cloc_coco_stuff.py --cfg-options data_root=data/coco_stuff164k prompter=FILE

No figure is published for this path. Without a network or a training: `weights=mini-clip prompter=mini-cloc
mask_maker=mini-sam`, on photos a figure without meaning.
"""

from mmengine.config import read_base

with read_base():
    from ._base_.cloc import *
    from .coco_stuff import *

model.update(model=cloc, mask_maker=sam, templates="plain")
