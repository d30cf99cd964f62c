"""Referring expressions of 200 held-out scenes that densevl draws: at most two of each kind in a scene."""

from mmengine.dataset import DefaultSampler

from densevl.benchmarks.referring.metric import ReferringMetric
from densevl.datasets.referring.scenes import ReferringScenes

test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type=DefaultSampler, shuffle=False, round_up=False),
    dataset=dict(type=ReferringScenes, seed=1, length=200, size=128, per_kind=2, proposals="true"),
)
test_evaluator = dict(type=ReferringMetric, rule=">")
