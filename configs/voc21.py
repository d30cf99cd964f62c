"""PASCAL VOC 2012, 20 classes and a background: the 1449 validation images; label 0 is the background.

    python tools/test.py configs/voc21.py --model NAME --cfg-options data_root=data/VOCdevkit
"""

from mmengine.config import read_base

with read_base():
    from ._base_.segmentation import *

model.update(vocabulary="voc21", background="literal")  # the class "background", by its name
test_dataloader["dataset"].update(
    vocabulary="voc21",
    data_root="data/VOCdevkit",
    images="VOC2012/JPEGImages",
    labels="VOC2012/SegmentationClass",
    split="VOC2012/ImageSets/Segmentation/val.txt",
    reduce_zero_label=False,
    expected=1449,
)
