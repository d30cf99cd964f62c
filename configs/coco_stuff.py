"""COCO-Stuff 164k, 171 classes: the 5000 images of val2017; label maps by ``tools/convert_labels.py coco_stuff``.

    python tools/test.py configs/coco_stuff.py --model NAME --cfg-options data_root=data/coco_stuff164k
"""

from mmengine.config import read_base

with read_base():
    from ._base_.segmentation import *

model.update(vocabulary="coco_stuff")
test_dataloader["dataset"].update(
    vocabulary="coco_stuff",
    data_root="data/coco_stuff164k",
    images="images/val2017",
    labels="annotations/val2017",
    label_suffix="_labelTrainIds.png",
    expected=5000,
    cure="make them from the raw label maps with: python tools/convert_labels.py coco_stuff FOLDER",
)
