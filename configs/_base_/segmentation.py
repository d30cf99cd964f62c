"""Label maps compared with true ones: every image once. A config adds its images and classes, `--model` the model."""

from mmengine.dataset import DefaultSampler

from densevl.benchmarks.segmentation.datasets import VocabularyDataset
from densevl.benchmarks.segmentation.metric import ConfusionMetric
from densevl.benchmarks.segmentation.model import OpenVocabularyModel

model = dict(type=OpenVocabularyModel)
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type=DefaultSampler, shuffle=False, round_up=False),
    dataset=dict(type=VocabularyDataset),
)
test_evaluator = dict(type=ConfusionMetric)
