"""MHP v1, 19 classes, of the multi-domain benchmark MESS; prepared by its own scripts.

    python tools/test.py configs/mess_mhp_v1.py --model NAME --cfg-options data_root=data/mess
"""

from mmengine.config import read_base

with read_base():
    from ._base_.segmentation import *

model.update(vocabulary="mess/mhp_v1")
test_dataloader["dataset"].update(
    vocabulary="mess/mhp_v1",
    data_root="data/mess",
    images="LV-MHP-v1/images_detectron2/test",
    labels="LV-MHP-v1/annotations_detectron2/test",
    listed_by="labels",
    cure="prepare them with: python -m mess.prepare_datasets.prepare_mhp_v1, see `densevl datasets mess_mhp_v1`",
)
