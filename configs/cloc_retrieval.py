"""Region–text retrieval with CLOC on region-text records, both ways: R@1, R@5, R@10.

    python tools/test.py configs/cloc_retrieval.py --cfg-options data_root=shards prompter=FILE

`data_root` is a folder of shards, a .tar in the layout of WebDataset or a .parquet, as `densevl label-regions` writes
them or GRIT has them. The gallery is the first 5000 regions (`test_dataloader.dataset.most`) and their texts; its size
and what chance gives are printed. Published (not measured here), on GRIT, with another gallery: t2r R@10 67.2, with
RoIAlign in the prompter's place 4.4. Without a network or a training: `weights=mini-clip prompter=mini-cloc`, on photos
a figure without meaning.
"""

from mmengine.config import read_base

with read_base():
    from ._base_.cloc import *
    from .retrieval import *

model.update(model=cloc)
