"""COCO val2017: boxes and their names, 80 to choose from; 4952 of the 5000 images hold a box."""

from mmengine.dataset import DefaultSampler

from densevl.datasets.regions.datasets import NamedRegions
from densevl.benchmarks.regions.metrics import RecognitionMetric

test_evaluator = dict(type=RecognitionMetric)
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type=DefaultSampler, shuffle=False, round_up=False),
    dataset=dict(
        type=NamedRegions,
        title="COCO val2017, boxes",
        data_root="data/coco",
        annotations="annotations/instances_val2017.json",
        image_folder="val2017",
        expected=4952,
    ),
)
