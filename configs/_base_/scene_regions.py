"""The objects of 500 held-out scenes that densevl draws: true boxes, 64 names to choose from."""

from mmengine.dataset import DefaultSampler

from densevl.datasets.regions.datasets import SceneRegions
from densevl.benchmarks.regions.metrics import RecognitionMetric

test_evaluator = dict(type=RecognitionMetric)
test_dataloader = dict(
    batch_size=8,
    num_workers=2,
    sampler=dict(type=DefaultSampler, shuffle=False, round_up=False),
    dataset=dict(type=SceneRegions, seed=1, length=500, size=128),
)
