"""Region–text retrieval with CLOC: the model and the measure, to which a configuration adds its pairs."""

from mmengine.config import read_base
from mmengine.dataset import DefaultSampler

from densevl.benchmarks.regions.metrics import RetrievalMetric
from densevl.benchmarks.regions.model import RegionRetriever

with read_base():
    from .cloc_regions import *

model.update(type=RegionRetriever)
test_evaluator = dict(type=RetrievalMetric)
test_dataloader = dict(batch_size=8, num_workers=2, sampler=dict(type=DefaultSampler, shuffle=False, round_up=False))
