"""Region–text retrieval on region-text records, such as those of GRIT.

    python tools/test.py configs/retrieval.py --model NAME --cfg-options data_root=shards

`data_root` is a folder of shards, a .tar in the layout of WebDataset or a .parquet, as `densevl label-regions` writes
them or GRIT has them. The gallery is the first 5000 regions (`test_dataloader.dataset.most`) and their texts; its size
and the chance level are printed.
"""

from mmengine.config import read_base

from densevl.datasets.regions.pairs import RecordPairs

with read_base():
    from ._base_.retrieval import *

test_dataloader["dataset"] = dict(type=RecordPairs, data_root="data/shards", most=5000)
