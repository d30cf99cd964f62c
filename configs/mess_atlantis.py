"""ATLANTIS, 56 classes, of the multi-domain benchmark MESS; prepared by its own scripts.

    python tools/test.py configs/mess_atlantis.py --model NAME --cfg-options data_root=data/mess
"""

from mmengine.config import read_base

with read_base():
    from ._base_.segmentation import *

model.update(vocabulary="mess/atlantis")
test_dataloader["dataset"].update(
    vocabulary="mess/atlantis",
    data_root="data/mess",
    images="atlantis/images_detectron2/test",
    labels="atlantis/annotations_detectron2/test",
    listed_by="labels",
    cure="prepare them with: python -m mess.prepare_datasets.prepare_atlantis, see `densevl datasets mess_atlantis`",
)
