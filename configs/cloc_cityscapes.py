"""CLOC's region embeddings painted as label maps of Cityscapes: SAM's masks, a name for each.

    python tools/test.py configs/cloc_cityscapes.py --cfg-options data_root=data/cityscapes prompter=FILE

No figure is published for this path. Without a network or a training: `weights=mini-clip`, on photos a figure without
meaning.
"""

from mmengine.config import read_base

with read_base():
    from ._base_.cityscapes import *
    from ._base_.cloc_segmentation import *
