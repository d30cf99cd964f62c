"""ADE20K, 150 classes of the scene parsing benchmark: the 2000 validation images of ADEChallengeData2016."""

from mmengine.dataset import DefaultSampler

from densevl.benchmarks.segmentation.datasets import VocabularyDataset

test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type=DefaultSampler, shuffle=False, round_up=False),
    dataset=dict(
        type=VocabularyDataset,
        vocabulary="ade20k",
        data_root="data/ade",
        images="ADEChallengeData2016/images/validation",
        labels="ADEChallengeData2016/annotations/validation",
        reduce_zero_label=True,
        expected=2000,
    ),
)
