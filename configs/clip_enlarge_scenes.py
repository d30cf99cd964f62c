"""The third stage of the mini CLIP's training: images twice as large, so that outlines fall on a finer patch grid.

    python tools/train.py configs/clip_enlarge_scenes.py

It starts from the last weights of `configs/clip_tune_scenes.py`. About an hour on two cores. Expected on
`configs/maskclip_scenes.py`: see `densevl/data/mini/clip_training.json`.
"""

from mmengine.config import read_base

with read_base():
    from .clip_tune_scenes import *

steps, warmup, batch = 1200, 50, 12

load_from = "work_dirs/clip_tune_scenes/iter_1400.pth"
train_dataloader.update(
    batch_size=batch,
    dataset=dict(
        type=ScenePairs,
        length=8000,
        size=192,
        zoom=(0.9, 2.0),
        count=(1, 5),
        detail=(0.5, 0.625, 0.75, 1, 2),
        padded=0.3,
        seed=2,
    ),
)
optim_wrapper["optimizer"].update(lr=4e-4)
param_scheduler = [
    dict(type=LinearLR, start_factor=0.1, by_epoch=False, begin=0, end=warmup),
    dict(type=CosineAnnealingLR, eta_min=0.0, by_epoch=False, begin=warmup, end=steps),
]
train_cfg.update(max_iters=steps)
