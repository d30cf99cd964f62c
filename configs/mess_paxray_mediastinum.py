"""PAXRay-4, mediastinum, 2 classes, of the multi-domain benchmark MESS; prepared by its own scripts.

    python tools/test.py configs/mess_paxray_mediastinum.py --model NAME --cfg-options data_root=data/mess
"""

from mmengine.config import read_base

with read_base():
    from ._base_.segmentation import *

model.update(vocabulary="mess/paxray_mediastinum")
test_dataloader["dataset"].update(
    vocabulary="mess/paxray_mediastinum",
    data_root="data/mess",
    images="paxray_dataset/images_detectron2/test",
    labels="paxray_dataset/annotations_detectron2/test/mediastinum",
    image_suffix=".png",
    listed_by="labels",
    cure="prepare them with: python -m mess.prepare_datasets.prepare_paxray, see `densevl datasets mess_paxray_mediastinum`",
)
