"""BDD100K, 19 classes, of the multi-domain benchmark MESS; prepared by its own scripts.

    python tools/test.py configs/mess_bdd100k.py --model NAME --cfg-options data_root=data/mess
"""

from mmengine.config import read_base

with read_base():
    from ._base_.segmentation import *

model.update(vocabulary="mess/bdd100k")
test_dataloader["dataset"].update(
    vocabulary="mess/bdd100k",
    data_root="data/mess",
    images="bdd100k/images/10k/val",
    labels="bdd100k/annotations_detectron2/val",
    listed_by="labels",
    cure="prepare them with: python -m mess.prepare_datasets.prepare_bdd100k, see `densevl datasets mess_bdd100k`",
)
