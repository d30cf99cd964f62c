"""PASCAL-Context, 59 classes: 5105 validation images of VOC 2010; label maps by ``tools/convert_labels.py context``.

    python tools/test.py configs/context59.py --model NAME --cfg-options data_root=data/VOCdevkit
"""

from mmengine.config import read_base

with read_base():
    from ._base_.segmentation import *

model.update(vocabulary="context59")
test_dataloader["dataset"].update(
    vocabulary="context59",
    data_root="data/VOCdevkit",
    images="VOC2010/JPEGImages",
    labels="VOC2010/SegmentationClassContext",
    split="VOC2010/ImageSets/SegmentationContext/val.txt",
    reduce_zero_label=True,
    expected=5105,
    cure="make them with: python tools/convert_labels.py context FOLDER --json trainval_merged.json",
)
