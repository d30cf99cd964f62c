"""PASCAL VOC 2012, 20 classes: the 1449 validation images; the background is ignored.

    python tools/test.py configs/voc20.py --model NAME --cfg-options data_root=data/VOCdevkit
"""

from mmengine.config import read_base

with read_base():
    from ._base_.segmentation import *

model.update(vocabulary="voc20")
test_dataloader["dataset"].update(
    vocabulary="voc20",
    data_root="data/VOCdevkit",
    images="VOC2012/JPEGImages",
    labels="VOC2012/SegmentationClass",
    split="VOC2012/ImageSets/Segmentation/val.txt",
    reduce_zero_label=True,
    expected=1449,
)
