"""PASCAL VOC 2012, 20 classes and a background: the 1449 validation images; label 0 is the background."""

from mmengine.dataset import DefaultSampler

from densevl.benchmarks.segmentation.datasets import VocabularyDataset

test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type=DefaultSampler, shuffle=False, round_up=False),
    dataset=dict(
        type=VocabularyDataset,
        vocabulary="voc21",
        data_root="data/VOCdevkit",
        images="VOC2012/JPEGImages",
        labels="VOC2012/SegmentationClass",
        split="VOC2012/ImageSets/Segmentation/val.txt",
        reduce_zero_label=False,
        expected=1449,
    ),
)
