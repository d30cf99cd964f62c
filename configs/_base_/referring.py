"""Boxes that expressions refer to, right above an overlap of 0.5. A config adds its expressions, `--model` the model."""

from mmengine.dataset import DefaultSampler

from densevl.benchmarks.referring.metric import ReferringMetric
from densevl.benchmarks.referring.model import GroundingModel
from densevl.datasets.referring.datasets import ReferringDataset

model = dict(type=GroundingModel)
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type=DefaultSampler, shuffle=False, round_up=False),
    dataset=dict(type=ReferringDataset, split="val", data_root="data/refer", proposals="true"),
)
test_evaluator = dict(type=ReferringMetric, rule=">")
