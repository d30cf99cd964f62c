"""The second stage of the mini CLIP's training: larger images of more objects, at a falling rate.

    python tools/train.py configs/clip_tune_scenes.py

It starts from the last weights of `configs/clip_train_scenes.py`. About half an hour on two cores. Expected on
`configs/maskclip_scenes.py`: see `densevl/data/mini/clip_training.json`.
"""

from mmengine.config import read_base

with read_base():
    from .clip_train_scenes import *

steps, warmup, batch = 1400, 50, 24

load_from = "work_dirs/clip_train_scenes/iter_2000.pth"
train_dataloader.update(
    batch_size=batch,
    dataset=dict(
        type=ScenePairs, length=8000, size=96, zoom=(1.2, 2.4), count=(1, 4), detail=(1, 1, 2, 3), padded=0.3, seed=1
    ),
)
optim_wrapper["optimizer"].update(lr=5e-4)
param_scheduler = [
    dict(type=LinearLR, start_factor=0.1, by_epoch=False, begin=0, end=warmup),
    dict(type=CosineAnnealingLR, eta_min=0.0, by_epoch=False, begin=warmup, end=steps),
]
train_cfg.update(max_iters=steps)
