"""Expressions of nearness, "the star next to the blue ring", of 200 held-out scenes: at most four in a scene.

    python tools/test.py configs/near_scenes.py --model NAME
    python tools/test.py configs/near_scenes.py --model mini --cfg-options model.parser=reclip

The parser `reclip` reads no nearness, so that "next to the blue ring" stays words of the thing.
"""

from mmengine.config import read_base

from densevl.datasets.referring.scenes import ReferringScenes

with read_base():
    from ._base_.referring import *

test_dataloader["num_workers"] = 0
test_dataloader["dataset"] = dict(
    type=ReferringScenes, seed=1, length=200, size=128, per_kind=4, proposals="true", language="nearness"
)
