"""The objects of 500 held-out scenes that densevl draws: true boxes, 64 names to choose from.

    python tools/test.py configs/regions_scenes.py --model NAME
"""

from mmengine.config import read_base

from densevl.datasets.regions.datasets import SceneRegions

with read_base():
    from ._base_.regions import *

test_dataloader["batch_size"] = 8
test_dataloader["dataset"] = dict(type=SceneRegions, seed=1, length=500, size=128)
