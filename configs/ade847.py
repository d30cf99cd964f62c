"""ADE20K, all 847 classes: the 2000 validation images of ADE20K_2021_17_01; 16-bit labels, prepared as for CAT-Seg.

    python tools/test.py configs/ade847.py --model NAME --cfg-options data_root=data/ade847
"""

from mmengine.config import read_base

with read_base():
    from ._base_.segmentation import *

model.update(vocabulary="ade847")
test_dataloader["dataset"].update(
    vocabulary="ade847",
    data_root="data/ade847",
    images="ADE20K_2021_17_01/images_detectron2/validation",
    labels="ADE20K_2021_17_01/annotations_detectron2/validation",
    label_suffix=".tif",
    ignored=65535,
    expected=2000,
    cure="make them as `densevl datasets ade847` says",
)
