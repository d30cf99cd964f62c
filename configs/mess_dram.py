"""DRAM, 12 classes, of the multi-domain benchmark MESS; prepared by its own scripts.

    python tools/test.py configs/mess_dram.py --model NAME --cfg-options data_root=data/mess
"""

from mmengine.config import read_base

with read_base():
    from ._base_.segmentation import *

model.update(vocabulary="mess/dram")
test_dataloader["dataset"].update(
    vocabulary="mess/dram",
    data_root="data/mess",
    images="DRAM_processed/images_detectron2/test",
    labels="DRAM_processed/annotations_detectron2/test",
    listed_by="labels",
    cure="prepare them with: python -m mess.prepare_datasets.prepare_dram, see `densevl datasets mess_dram`",
)
