"""Region–text retrieval on 500 held-out scenes that densevl draws.

    python tools/test.py configs/retrieval_scenes.py --model NAME

The gallery is all objects of the scenes and all that is said of them, such as "small red star on grass"; its size and
the chance level are printed.
"""

from mmengine.config import read_base

from densevl.datasets.regions.pairs import SceneRegionPairs

with read_base():
    from ._base_.retrieval import *

test_dataloader["dataset"] = dict(type=SceneRegionPairs, seed=1, length=500, size=128)
