"""LVIS v1 val: boxes and their names, 1203 to choose from, grouped by how many training images show a category.

    python tools/test.py configs/lvis_regions.py --model NAME --cfg-options data_root=data/coco

The images are COCO's; `data_root` holds its train2017 and val2017, as the annotations say which. How many of the 19809
images hold a box is not recorded here.
"""

from mmengine.config import read_base

with read_base():
    from ._base_.regions import *

test_dataloader["dataset"].update(
    title="LVIS v1 val, boxes",
    data_root="data/coco",
    annotations="annotations/lvis_v1_val.json",
    image_folder=".",
)
