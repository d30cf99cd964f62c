"""Region–text retrieval: objects of RefCOCO and the first expression of each.

    python tools/test.py configs/retrieval_refcoco.py --model NAME --cfg-options data_root=data/refer

Expressions are made to tell an object from others of its own image, not from those of all images, so 100 is out of
reach.
"""

from mmengine.config import read_base

from densevl.datasets.regions.pairs import ExpressionPairs

with read_base():
    from ._base_.retrieval import *

test_dataloader["dataset"] = dict(
    type=ExpressionPairs, dataset="refcoco", split="val", data_root="data/refer", most=5000
)
