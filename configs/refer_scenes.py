"""Referring expressions of 200 held-out scenes that densevl draws: at most two of each kind in a scene.

    python tools/test.py configs/refer_scenes.py --model NAME --cfg-options proposals=true
"""

from mmengine.config import read_base

from densevl.datasets.referring.scenes import ReferringScenes

with read_base():
    from ._base_.referring import *

test_dataloader["num_workers"] = 0
test_dataloader["dataset"] = dict(
    type=ReferringScenes, seed=1, length=200, size=128, per_kind=2, proposals="true"
)
