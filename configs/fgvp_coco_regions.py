"""Region recognition on COCO val2017: the names of true boxes, 80 to choose from, regions marked as in FGVP.

    python tools/test.py configs/fgvp_coco_regions.py --cfg-options data_root=data/coco

Published for CLOC, whose protocol this is (class names without templates): 71.1 mAcc with ViT-B/16. LVIS likewise, with
``annotations=annotations/lvis_v1_val.json``, 1203 names.
"""

from mmengine.dataset import DefaultSampler

from densevl.benchmarks.regions.datasets import NamedRegions
from densevl.benchmarks.regions.metrics import RecognitionMetric
from densevl.benchmarks.regions.model import RegionChooser

model = dict(type=RegionChooser, segmentor="fgvp-seg", templates="none")
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
