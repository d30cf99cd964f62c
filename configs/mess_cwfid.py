"""CWFID, 3 classes, of the multi-domain benchmark MESS; prepared by its own scripts.

    python tools/test.py configs/mess_cwfid.py --model NAME --cfg-options data_root=data/mess
"""

from mmengine.config import read_base

with read_base():
    from ._base_.segmentation import *

model.update(vocabulary="mess/cwfid")
test_dataloader["dataset"].update(
    vocabulary="mess/cwfid",
    data_root="data/mess",
    images="cwfid/images",
    labels="cwfid/annotations_detectron2/test",
    image_suffix="image.png",
    label_suffix="annotation.png",
    listed_by="labels",
    cure="prepare them with: python -m mess.prepare_datasets.prepare_cwfid, see `densevl datasets mess_cwfid`",
)
