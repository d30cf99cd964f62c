"""Region–text retrieval on boxes in the format of COCO.

    python tools/test.py configs/retrieval_coco.py --model NAME --cfg-options data_root=data/coco annotations=FILE

The text of a box is its own `phrase`, `text` or `caption`, or else the name of its category, as in Visual Genome and in
COCO.
"""

from mmengine.config import read_base

from densevl.datasets.regions.pairs import AnnotatedPairs

with read_base():
    from ._base_.retrieval import *

test_dataloader["dataset"] = dict(
    type=AnnotatedPairs,
    title="COCO val2017, boxes and texts",
    data_root="data/coco",
    annotations="annotations/instances_val2017.json",
    image_folder="val2017",
    most=5000,
)
