"""UAVid, 8 classes, of the multi-domain benchmark MESS; prepared by its own scripts.

    python tools/test.py configs/mess_uavid.py --model NAME --cfg-options data_root=data/mess
"""

from mmengine.config import read_base

with read_base():
    from ._base_.segmentation import *

model.update(vocabulary="mess/uavid")
test_dataloader["dataset"].update(
    vocabulary="mess/uavid",
    data_root="data/mess",
    images="uavid_v1.5/images_detectron2/val",
    labels="uavid_v1.5/annotations_detectron2/val",
    image_suffix=".png",
    listed_by="labels",
    cure="prepare them with: python -m mess.prepare_datasets.prepare_uavid, see `densevl datasets mess_uavid`",
)
