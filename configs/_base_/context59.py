"""PASCAL-Context, 59 classes: 5105 validation images of VOC 2010; label maps by ``tools/convert_labels.py context``."""

from mmengine.dataset import DefaultSampler

from densevl.benchmarks.segmentation.datasets import VocabularyDataset

test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type=DefaultSampler, shuffle=False, round_up=False),
    dataset=dict(
        type=VocabularyDataset,
        vocabulary="context59",
        data_root="data/VOCdevkit",
        images="VOC2010/JPEGImages",
        labels="VOC2010/SegmentationClassContext",
        split="VOC2010/ImageSets/SegmentationContext/val.txt",
        reduce_zero_label=True,
        expected=5105,
        cure="make them with: python tools/convert_labels.py context FOLDER --json trainval_merged.json",
    ),
)
