"""CLOC from a finished CLIP on scenes: the mini CLIP at a twentieth of the rate of its new prompter.

    python tools/train.py configs/cloc_tune_scenes.py --amp

To begin with a trained prompter of the mini CLIP: `--cfg-options model.prompter=prompter.safetensors`. Files and figures
as of `cloc_scratch_scenes.py`.
"""

from mmengine.config import read_base

with read_base():
    from .cloc_scratch_scenes import *

steps, warmup, batch = 400, 40, 16

model.update(encoder=dict(type="clip", weights="mini-clip"), pool="hint", placed=True)
train_dataloader.update(batch_size=batch)
optim_wrapper.update(paramwise_cfg=dict(rates=dict(clip=0.05)))
optim_wrapper["optimizer"].update(lr=1e-3)
param_scheduler = [
    dict(type=LinearLR, start_factor=0.01, by_epoch=False, begin=0, end=warmup),
    dict(type=CosineAnnealingLR, eta_min=0.0, by_epoch=False, begin=warmup, end=steps),
]
train_cfg.update(max_iters=steps, val_interval=100)
