"""PASCAL-Context, all 459 classes: validation images of VOC 2010; 16-bit labels, prepared as for CAT-Seg.

    python tools/test.py configs/context459.py --model NAME --cfg-options data_root=data/VOCdevkit
"""

from mmengine.config import read_base

with read_base():
    from ._base_.segmentation import *

model.update(vocabulary="context459")
test_dataloader["dataset"].update(
    vocabulary="context459",
    data_root="data/VOCdevkit",
    images="VOC2010/JPEGImages",
    labels="VOC2010/annotations_detectron2/pc459_val",
    label_suffix=".tif",
    ignored=65535,
    listed_by="labels",
    cure="make them as `densevl datasets context459` says",
)
