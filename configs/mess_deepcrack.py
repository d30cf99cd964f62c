"""DeepCrack, 2 classes, of the multi-domain benchmark MESS; prepared by its own scripts.

    python tools/test.py configs/mess_deepcrack.py --model NAME --cfg-options data_root=data/mess
"""

from mmengine.config import read_base

with read_base():
    from ._base_.segmentation import *

model.update(vocabulary="mess/deepcrack")
test_dataloader["dataset"].update(
    vocabulary="mess/deepcrack",
    data_root="data/mess",
    images="DeepCrack/test_img",
    labels="DeepCrack/annotations_detectron2/test",
    listed_by="labels",
    cure="prepare them with: python -m mess.prepare_datasets.prepare_deepcrack, see `densevl datasets mess_deepcrack`",
)
