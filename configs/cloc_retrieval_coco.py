"""Region–text retrieval with CLOC on boxes in the format of COCO, in both directions.

    python tools/test.py configs/cloc_retrieval_coco.py --cfg-options data_root=data/coco annotations=FILE prompter=FILE

No figure is published. Without a network or a training: `weights=mini-clip prompter=mini-cloc`, on photos a
figure without meaning.
"""

from mmengine.config import read_base

with read_base():
    from ._base_.cloc import *
    from .retrieval_coco import *

model.update(model=cloc)
