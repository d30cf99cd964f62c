"""iSAID, 16 classes, of the multi-domain benchmark MESS; prepared by its own scripts.

    python tools/test.py configs/mess_isaid.py --model NAME --cfg-options data_root=data/mess
"""

from mmengine.config import read_base

with read_base():
    from ._base_.segmentation import *

model.update(vocabulary="mess/isaid")
test_dataloader["dataset"].update(
    vocabulary="mess/isaid",
    data_root="data/mess",
    images="isaid/images_detectron2/val",
    labels="isaid/annotations_detectron2/val",
    image_suffix=".png",
    listed_by="labels",
    cure="prepare them with: python -m mess.prepare_datasets.prepare_isaid, see `densevl datasets mess_isaid`",
)
