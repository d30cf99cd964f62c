"""Regions found by texts and texts by regions: R@1, R@5, R@10. A config adds its pairs, `--model` the model."""

from mmengine.dataset import DefaultSampler

from densevl.benchmarks.regions.metrics import RetrievalMetric
from densevl.benchmarks.regions.model import RegionRetriever

model = dict(type=RegionRetriever, templates="none")
test_dataloader = dict(batch_size=8, num_workers=2, sampler=dict(type=DefaultSampler, shuffle=False, round_up=False))
test_evaluator = dict(type=RetrievalMetric)
