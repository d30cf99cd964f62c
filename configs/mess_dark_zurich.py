"""Dark Zurich, 20 classes, of the multi-domain benchmark MESS; prepared by its own scripts.

    python tools/test.py configs/mess_dark_zurich.py --model NAME --cfg-options data_root=data/mess
"""

from mmengine.config import read_base

with read_base():
    from ._base_.segmentation import *

model.update(vocabulary="mess/dark_zurich")
test_dataloader["dataset"].update(
    vocabulary="mess/dark_zurich",
    data_root="data/mess",
    images="Dark_Zurich/rgb_anon/val/night/GOPR0356",
    labels="Dark_Zurich/annotations_detectron2/val",
    image_suffix="_rgb_anon.png",
    label_suffix="_gt_labelIds.png",
    listed_by="labels",
    cure="prepare them with: python -m mess.prepare_datasets.prepare_dark_zurich, see `densevl datasets mess_dark_zurich`",
)
