"""ZeroWaste-f, 5 classes, of the multi-domain benchmark MESS; prepared by its own scripts.

    python tools/test.py configs/mess_zerowaste.py --model NAME --cfg-options data_root=data/mess
"""

from mmengine.config import read_base

with read_base():
    from ._base_.segmentation import *

model.update(vocabulary="mess/zerowaste")
test_dataloader["dataset"].update(
    vocabulary="mess/zerowaste",
    data_root="data/mess",
    images="zerowaste-f/splits_final_deblurred/test/data",
    labels="zerowaste-f/splits_final_deblurred/test/sem_seg",
    image_suffix=".PNG",
    label_suffix=".PNG",
    listed_by="labels",
    cure="prepare them with: python -m mess.prepare_datasets.prepare_zerowaste, see `densevl datasets mess_zerowaste`",
)
