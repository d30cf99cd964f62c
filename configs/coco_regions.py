"""COCO val2017: boxes and their names, 80 to choose from; 4952 of the 5000 images hold a box.

    python tools/test.py configs/coco_regions.py --model NAME --cfg-options data_root=data/coco
"""

from mmengine.config import read_base

with read_base():
    from ._base_.regions import *

test_dataloader["dataset"].update(
    title="COCO val2017, boxes",
    data_root="data/coco",
    annotations="annotations/instances_val2017.json",
    image_folder="val2017",
    expected=4952,
)
