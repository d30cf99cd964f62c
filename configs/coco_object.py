"""COCO-Object, 80 things and a background: val2017; label maps by ``tools/convert_labels.py coco_object``.

    python tools/test.py configs/coco_object.py --model NAME --cfg-options data_root=data/coco_stuff164k
"""

from mmengine.config import read_base

with read_base():
    from ._base_.segmentation import *

model.update(vocabulary="coco_object", background="literal")  # the class "background", by its name
test_dataloader["dataset"].update(
    vocabulary="coco_object",
    data_root="data/coco_stuff164k",
    images="images/val2017",
    labels="annotations/val2017",
    label_suffix="_instanceTrainIds.png",
    expected=5000,
    cure="make them from the raw label maps with: python tools/convert_labels.py coco_object FOLDER",
)
