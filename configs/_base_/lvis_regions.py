"""LVIS v1 val: boxes and their names, 1203 to choose from, grouped by how many training images show a category.

The images are COCO's; `data_root` holds its train2017 and val2017, as the annotations say which. How many of the 19809
images hold a box is not recorded here.
"""

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
        title="LVIS v1 val, boxes",
        data_root="data/coco",
        annotations="annotations/lvis_v1_val.json",
        image_folder=".",
    ),
)
