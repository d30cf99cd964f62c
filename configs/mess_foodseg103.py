"""FoodSeg103, 104 classes, of the multi-domain benchmark MESS; prepared by its own scripts.

    python tools/test.py configs/mess_foodseg103.py --model NAME --cfg-options data_root=data/mess
"""

from mmengine.config import read_base

with read_base():
    from ._base_.segmentation import *

model.update(vocabulary="mess/foodseg103")
test_dataloader["dataset"].update(
    vocabulary="mess/foodseg103",
    data_root="data/mess",
    images="FoodSeg103/Images/img_dir/test",
    labels="FoodSeg103/Images/ann_dir/test",
    listed_by="labels",
    cure="prepare them with: python -m mess.prepare_datasets.prepare_foodseg, see `densevl datasets mess_foodseg103`",
)
