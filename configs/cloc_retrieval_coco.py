"""Region–text retrieval with CLOC on boxes in the format of COCO, both ways: R@1, R@5, R@10.

    python tools/test.py configs/cloc_retrieval_coco.py --cfg-options data_root=data/coco annotations=FILE prompter=FILE

The text of a box is its own `phrase`, `text` or `caption`, or else the name of its category, as in Visual Genome and in
COCO. No figure is published. Without a network or a training: `weights=mini-clip`, on photos a figure without meaning.
"""

from mmengine.config import read_base

from densevl.datasets.regions.pairs import AnnotatedPairs

with read_base():
    from ._base_.cloc_retrieval import *

test_dataloader["dataset"] = dict(
    type=AnnotatedPairs,
    title="COCO val2017, boxes and texts",
    data_root="data/coco",
    annotations="annotations/instances_val2017.json",
    image_folder="val2017",
    most=5000,
)
