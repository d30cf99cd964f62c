"""PASCAL VOC 2012, 20 classes: the 1449 validation images; the background is ignored."""

from mmengine.dataset import DefaultSampler

from densevl.benchmarks.segmentation.datasets import VocabularyDataset

test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type=DefaultSampler, shuffle=False, round_up=False),
    dataset=dict(
        type=VocabularyDataset,
        vocabulary="voc20",
        data_root="data/VOCdevkit",
        images="VOC2012/JPEGImages",
        labels="VOC2012/SegmentationClass",
        split="VOC2012/ImageSets/Segmentation/val.txt",
        reduce_zero_label=True,
        expected=1449,
    ),
)
