"""Region–text retrieval with CLOC on region-text records, in both directions.

    python tools/test.py configs/cloc_retrieval.py --cfg-options data_root=shards prompter=FILE

Published (not measured here), on GRIT, with another gallery: t2r R@10 67.2, with RoIAlign in the prompter's
place 4.4. Without a network or a training: `weights=mini-clip prompter=mini-cloc`, on photos a figure without meaning.
"""

from mmengine.config import read_base

with read_base():
    from ._base_.cloc import *
    from .retrieval import *

model.update(model=cloc)
