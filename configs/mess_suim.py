"""SUIM, 8 classes, of the multi-domain benchmark MESS; prepared by its own scripts.

    python tools/test.py configs/mess_suim.py --model NAME --cfg-options data_root=data/mess
"""

from mmengine.config import read_base

with read_base():
    from ._base_.segmentation import *

model.update(vocabulary="mess/suim")
test_dataloader["dataset"].update(
    vocabulary="mess/suim",
    data_root="data/mess",
    images="SUIM/TEST/images",
    labels="SUIM/annotations_detectron2/test",
    listed_by="labels",
    cure="prepare them with: python -m mess.prepare_datasets.prepare_suim, see `densevl datasets mess_suim`",
)
