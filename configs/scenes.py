"""Scenes: 500 held-out images that densevl draws, 6 grounds and 64 pairs of colour and shape.

    python tools/test.py configs/scenes.py --model NAME
"""

from mmengine.config import read_base

from densevl.benchmarks.segmentation.datasets import ScenesDataset

with read_base():
    from ._base_.segmentation import *

test_dataloader["batch_size"] = 8
model.update(vocabulary="scenes")
test_dataloader["dataset"] = dict(type=ScenesDataset, seed=1, length=500, size=128, pipeline=test_pipeline)
