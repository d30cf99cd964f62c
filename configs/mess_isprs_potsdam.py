"""ISPRS Potsdam, infrared, red and green, 6 classes, of the multi-domain benchmark MESS; prepared by its own scripts.

    python tools/test.py configs/mess_isprs_potsdam.py --model NAME --cfg-options data_root=data/mess
"""

from mmengine.config import read_base

with read_base():
    from ._base_.segmentation import *

model.update(vocabulary="mess/isprs_potsdam")
test_dataloader["dataset"].update(
    vocabulary="mess/isprs_potsdam",
    data_root="data/mess",
    images="ISPRS_Potsdam/images_detectron2/test/irrg",
    labels="ISPRS_Potsdam/annotations_detectron2/test",
    image_suffix=".png",
    listed_by="labels",
    cure="prepare them with: python -m mess.prepare_datasets.prepare_isprs_potsdam, see `densevl datasets mess_isprs_potsdam`",
)
