"""CLOC from scratch on scenes: both towers of the mini architecture and the prompter, from captions and region texts.

    python tools/train.py configs/cloc_scratch_scenes.py --amp

The published schedule in small. Every 200 steps the objects of 100 held-out scenes are named (64 pairs of
colour and shape, chance 1.6 %). `clip.safetensors` and `prompter.safetensors` then lie in
`work_dirs/cloc_scratch_scenes`. It shows that the mode works; the shipped mini CLOC comes of `cloc_train_scenes.py`.
"""

from mmengine.config import read_base
from mmengine.dataset import DefaultSampler, InfiniteSampler, pseudo_collate

from densevl.datasets.regions.datasets import SceneRegions
from densevl.benchmarks.regions.metrics import RecognitionMetric
from densevl.training.cloc.accuracy import RegionLoop
from densevl.datasets.region_sample import collate_regions
from densevl.datasets.scenes.training import SceneRegionTexts

with read_base():
    from ._base_.cloc_train import *

steps, warmup, batch = 2000, 100, 32

model.update(encoder=dict(type="random-clip", arch="mini-clip"), seed=0)
train_dataloader = dict(
    batch_size=batch,
    num_workers=0,
    sampler=dict(type=InfiniteSampler, shuffle=True, seed=0),
    collate_fn=dict(type=collate_regions),
    dataset=dict(type=SceneRegionTexts, length=8000, size=128, zoom=1.2, count=(2, 5), seed=300),
)
param_scheduler = [
    dict(type=LinearLR, start_factor=0.01, by_epoch=False, begin=0, end=warmup),
    dict(type=CosineAnnealingLR, eta_min=0.0, by_epoch=False, begin=warmup, end=steps),
]
train_cfg.update(max_iters=steps, val_interval=200)
model_wrapper_cfg = dict(type="MMDistributedDataParallel", device_ids=None)  # a CPU has none
default_hooks = dict(
    checkpoint=dict(type="CheckpointHook", interval=200, max_keep_ckpts=2), logger=dict(type="LoggerHook", interval=10)
)
val_dataloader = dict(
    batch_size=20,
    num_workers=0,
    sampler=dict(type=DefaultSampler, shuffle=False, round_up=False),
    collate_fn=dict(type=pseudo_collate),
    dataset=dict(type=SceneRegions, length=100, size=128),
)
val_evaluator = dict(type=RecognitionMetric)
val_cfg = dict(type=RegionLoop)
