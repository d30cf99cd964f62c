"""CHASE DB1, 2 classes, of the multi-domain benchmark MESS; prepared by its own scripts.

    python tools/test.py configs/mess_chase_db1.py --model NAME --cfg-options data_root=data/mess
"""

from mmengine.config import read_base

with read_base():
    from ._base_.segmentation import *

model.update(vocabulary="mess/chase_db1")
test_dataloader["dataset"].update(
    vocabulary="mess/chase_db1",
    data_root="data/mess",
    images="CHASEDB1/images_detectron2/test",
    labels="CHASEDB1/annotations_detectron2/test",
    listed_by="labels",
    cure="prepare them with: python -m mess.prepare_datasets.prepare_chase_db1, see `densevl datasets mess_chase_db1`",
)
