"""Corrosion CS, 4 classes, of the multi-domain benchmark MESS; prepared by its own scripts.

    python tools/test.py configs/mess_corrosion_cs.py --model NAME --cfg-options data_root=data/mess
"""

from mmengine.config import read_base

with read_base():
    from ._base_.segmentation import *

model.update(vocabulary="mess/corrosion_cs")
test_dataloader["dataset"].update(
    vocabulary="mess/corrosion_cs",
    data_root="data/mess",
    images="Corrosion Condition State Classification/original/Test/images",
    labels="Corrosion Condition State Classification/original/Test/masks",
    image_suffix=".jpeg",
    listed_by="labels",
    cure="prepare them with: python -m mess.prepare_datasets.prepare_corrosion_cs, see `densevl datasets mess_corrosion_cs`",
)
