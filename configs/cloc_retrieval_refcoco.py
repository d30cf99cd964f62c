"""Region–text retrieval with CLOC: objects of RefCOCO and the first expression of each, in both directions.

    python tools/test.py configs/cloc_retrieval_refcoco.py --cfg-options data_root=data/refer prompter=FILE

No figure is published. Without a network or a training: `weights=mini-clip prompter=mini-cloc`, on photos a
figure without meaning.
"""

from mmengine.config import read_base

with read_base():
    from ._base_.cloc import *
    from .retrieval_refcoco import *

model.update(model=cloc)
