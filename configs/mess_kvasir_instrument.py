"""Kvasir-Instrument, 2 classes, of the multi-domain benchmark MESS; prepared by its own scripts.

    python tools/test.py configs/mess_kvasir_instrument.py --model NAME --cfg-options data_root=data/mess
"""

from mmengine.config import read_base

with read_base():
    from ._base_.segmentation import *

model.update(vocabulary="mess/kvasir_instrument")
test_dataloader["dataset"].update(
    vocabulary="mess/kvasir_instrument",
    data_root="data/mess",
    images="kvasir-instrument/images_detectron2/test",
    labels="kvasir-instrument/annotations_detectron2/test",
    image_suffix=".png",
    listed_by="labels",
    cure="prepare them with: python -m mess.prepare_datasets.prepare_kvasir_instrument, see `densevl datasets mess_kvasir_instrument`",
)
