"""PST900, thermal, 5 classes, of the multi-domain benchmark MESS; prepared by its own scripts.

    python tools/test.py configs/mess_pst900.py --model NAME --cfg-options data_root=data/mess
"""

from mmengine.config import read_base

with read_base():
    from ._base_.segmentation import *

model.update(vocabulary="mess/pst900")
test_dataloader["dataset"].update(
    vocabulary="mess/pst900",
    data_root="data/mess",
    images="PST900_RGBT_Dataset/test/thermal",
    labels="PST900_RGBT_Dataset/test/labels",
    image_suffix=".png",
    listed_by="labels",
    cure="prepare them with: python -m mess.prepare_datasets.prepare_pst900, see `densevl datasets mess_pst900`",
)
