"""CLOC on RefCOCOg: accuracy of boxes at an overlap above 0.5, the region embeddings as scores.

    python tools/test.py configs/cloc_refcocog.py --cfg-options data_root=data/refer prompter=FILE

No figure is published for this use. Without a network or a training: `weights=mini-clip prompter=mini-cloc`, on photos
a figure without meaning.
"""

from mmengine.config import read_base

with read_base():
    from ._base_.cloc import *
    from .refcocog import *

model.update(model=cloc_grounder)
test_dataloader.update(batch_size=8)
