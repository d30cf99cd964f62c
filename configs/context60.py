"""PASCAL-Context, 59 classes and a background: 5105 validation images of VOC 2010.

    python tools/test.py configs/context60.py --model NAME --cfg-options data_root=data/VOCdevkit
"""

from mmengine.config import read_base

with read_base():
    from ._base_.segmentation import *

model.update(vocabulary="context60", background="literal")  # the class "background", by its name
test_dataloader["dataset"].update(
    vocabulary="context60",
    data_root="data/VOCdevkit",
    images="VOC2010/JPEGImages",
    labels="VOC2010/SegmentationClassContext",
    split="VOC2010/ImageSets/SegmentationContext/val.txt",
    reduce_zero_label=False,
    expected=5105,
    cure="make them with: python tools/convert_labels.py context FOLDER --json trainval_merged.json",
)
