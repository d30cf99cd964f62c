"""Scenes: 500 held-out pictures that densevl draws, 6 grounds and 64 pairs of colour and shape."""

from mmengine.dataset import DefaultSampler

from densevl.benchmarks.segmentation.datasets import ScenesDataset

test_dataloader = dict(
    batch_size=8,
    num_workers=2,
    sampler=dict(type=DefaultSampler, shuffle=False, round_up=False),
    dataset=dict(type=ScenesDataset, seed=1, length=500, size=128),
)
