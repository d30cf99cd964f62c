"""Cityscapes, 19 classes: the 500 validation frames; label maps by ``tools/convert_labels.py cityscapes``."""

from mmengine.dataset import DefaultSampler

from densevl.benchmarks.segmentation.datasets import VocabularyDataset

test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type=DefaultSampler, shuffle=False, round_up=False),
    dataset=dict(
        type=VocabularyDataset,
        vocabulary="cityscapes",
        data_root="data/cityscapes",
        images="leftImg8bit/val",
        labels="gtFine/val",
        image_suffix="_leftImg8bit.png",
        label_suffix="_gtFine_labelTrainIds.png",
        expected=500,
        cure="make them from the _labelIds.png with: python tools/convert_labels.py cityscapes FOLDER",
    ),
)
