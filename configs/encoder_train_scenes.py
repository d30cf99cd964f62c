"""A small encoder of another tower on rendered scenes: it learns from the mini CLIP, without masks and boxes.

    python tools/train.py configs/encoder_train_scenes.py --work-dir work_dirs/mini-tok --cfg-options model.arch=mini-tok

Minutes on one core with bfloat16. `densevl/data/mini/tok_training.json` and its neighbours have the commands that made
the shipped encoders. Expected of them: `python tools/table.py encoders`.
"""

from mmengine.dataset import InfiniteSampler, pseudo_collate
from mmengine.optim import CosineAnnealingLR, LinearLR, OptimWrapper
from torch.optim import AdamW

from densevl.datasets.scenes.training import ScenePairs
from densevl.training.distilled import DistilledEncoder

steps, warmup, batch = 300, 50, 16

model = dict(type=DistilledEncoder, arch="mini-tok")

train_dataloader = dict(
    batch_size=batch,
    num_workers=0,
    sampler=dict(type=InfiniteSampler, shuffle=True, seed=0),
    collate_fn=dict(type=pseudo_collate),
    dataset=dict(
        type=ScenePairs,
        length=3000,
        size=128,
        zoom=(0.9, 2.4),
        count=(1, 5),
        detail=(0.5, 0.75, 1, 2),
        padded=0.3,
        seed=3,
    ),
)
optim_wrapper = dict(
    type=OptimWrapper,
    optimizer=dict(type=AdamW, lr=1.2e-3, betas=(0.9, 0.98), weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type=LinearLR, start_factor=0.01, by_epoch=False, begin=0, end=warmup),
    dict(type=CosineAnnealingLR, eta_min=0.0, by_epoch=False, begin=warmup, end=steps),
]
train_cfg = dict(by_epoch=False, max_iters=steps)
default_hooks = dict(
    checkpoint=dict(type="CheckpointHook", interval=100, max_keep_ckpts=2), logger=dict(type="LoggerHook", interval=50)
)
