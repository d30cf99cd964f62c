"""CUB-200, 201 classes, of the multi-domain benchmark MESS; prepared by its own scripts.

    python tools/test.py configs/mess_cub_200.py --model NAME --cfg-options data_root=data/mess
"""

from mmengine.config import read_base

with read_base():
    from ._base_.segmentation import *

model.update(vocabulary="mess/cub_200")
test_dataloader["dataset"].update(
    vocabulary="mess/cub_200",
    data_root="data/mess",
    images="CUB_200_2011/images_detectron2/test",
    labels="CUB_200_2011/annotations_detectron2/test",
    listed_by="labels",
    cure="prepare them with: python -m mess.prepare_datasets.prepare_cub_200, see `densevl datasets mess_cub_200`",
)
