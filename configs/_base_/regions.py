"""Names of given boxes, as they are, without templates. A config adds its boxes, `--model` the model."""

from mmengine.dataset import DefaultSampler

from densevl.benchmarks.regions.metrics import RecognitionMetric
from densevl.benchmarks.regions.model import RegionChooser
from densevl.datasets.regions.datasets import NamedRegions

model = dict(type=RegionChooser, templates="none")
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type=DefaultSampler, shuffle=False, round_up=False),
    dataset=dict(type=NamedRegions),
)
test_evaluator = dict(type=RecognitionMetric)
