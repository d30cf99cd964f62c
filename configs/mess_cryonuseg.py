"""CryoNuSeg, 2 classes, of the multi-domain benchmark MESS; prepared by its own scripts.

    python tools/test.py configs/mess_cryonuseg.py --model NAME --cfg-options data_root=data/mess
"""

from mmengine.config import read_base

with read_base():
    from ._base_.segmentation import *

model.update(vocabulary="mess/cryonuseg")
test_dataloader["dataset"].update(
    vocabulary="mess/cryonuseg",
    data_root="data/mess",
    images="CryoNuSeg/images_detectron2",
    labels="CryoNuSeg/annotations_detectron2",
    image_suffix=".png",
    listed_by="labels",
    cure="prepare them with: python -m mess.prepare_datasets.prepare_cryonuseg, see `densevl datasets mess_cryonuseg`",
)
