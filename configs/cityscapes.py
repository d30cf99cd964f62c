"""Cityscapes, 19 classes: the 500 validation frames; label maps by ``tools/convert_labels.py cityscapes``.

    python tools/test.py configs/cityscapes.py --model NAME --cfg-options data_root=data/cityscapes
"""

from mmengine.config import read_base

with read_base():
    from ._base_.segmentation import *

model.update(vocabulary="cityscapes")
test_dataloader["dataset"].update(
    vocabulary="cityscapes",
    data_root="data/cityscapes",
    images="leftImg8bit/val",
    labels="gtFine/val",
    image_suffix="_leftImg8bit.png",
    label_suffix="_gtFine_labelTrainIds.png",
    expected=500,
    cure="make them from the _labelIds.png with: python tools/convert_labels.py cityscapes FOLDER",
)
