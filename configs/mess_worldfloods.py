"""WorldFloods, infrared, red and green, 3 classes, of the multi-domain benchmark MESS; prepared by its own scripts.

    python tools/test.py configs/mess_worldfloods.py --model NAME --cfg-options data_root=data/mess
"""

from mmengine.config import read_base

with read_base():
    from ._base_.segmentation import *

model.update(vocabulary="mess/worldfloods")
test_dataloader["dataset"].update(
    vocabulary="mess/worldfloods",
    data_root="data/mess",
    images="WorldFloods/images_detectron2/test/irrg",
    labels="WorldFloods/annotations_detectron2/test",
    image_suffix=".png",
    listed_by="labels",
    cure="prepare them with: python -m mess.prepare_datasets.prepare_worldfloods, see `densevl datasets mess_worldfloods`",
)
