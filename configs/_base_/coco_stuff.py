"""COCO-Stuff 164k, 171 classes: the 5000 images of val2017; label maps by ``tools/convert_labels.py coco_stuff``."""

from mmengine.dataset import DefaultSampler

from densevl.benchmarks.segmentation.datasets import VocabularyDataset

test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type=DefaultSampler, shuffle=False, round_up=False),
    dataset=dict(
        type=VocabularyDataset,
        vocabulary="coco_stuff",
        data_root="data/coco_stuff164k",
        images="images/val2017",
        labels="annotations/val2017",
        label_suffix="_labelTrainIds.png",
        expected=5000,
        cure="make them from the raw label maps with: python tools/convert_labels.py coco_stuff FOLDER",
    ),
)
