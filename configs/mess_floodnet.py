"""FloodNet, 10 classes, of the multi-domain benchmark MESS; prepared by its own scripts.

    python tools/test.py configs/mess_floodnet.py --model NAME --cfg-options data_root=data/mess
"""

from mmengine.config import read_base

with read_base():
    from ._base_.segmentation import *

model.update(vocabulary="mess/floodnet")
test_dataloader["dataset"].update(
    vocabulary="mess/floodnet",
    data_root="data/mess",
    images="FloodNet-Supervised_v1.0/images_detectron2/test",
    labels="FloodNet-Supervised_v1.0/annotations_detectron2/test",
    listed_by="labels",
    cure="prepare them with: python -m mess.prepare_datasets.prepare_floodnet, see `densevl datasets mess_floodnet`",
)
