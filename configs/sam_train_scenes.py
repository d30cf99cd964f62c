"""The mini SAM from scratch on rendered scenes and their exact masks, from boxes and points.

    python tools/train.py configs/sam_train_scenes.py

About half an hour on one core with bfloat16. Expected of `python -m densevl.training.mask_quality mini-sam`: see
`densevl/data/mini/sam_training.json`.
"""

from mmengine.dataset import InfiniteSampler, pseudo_collate
from mmengine.optim import CosineAnnealingLR, LinearLR, OptimWrapper
from torch.optim import AdamW

from densevl.training.mini_sam import PromptedSam
from densevl.datasets.scenes.segments import SceneMasks

steps, warmup, batch = 1500, 75, 8

model = dict(type=PromptedSam, boxes=2, clicks=2)

train_dataloader = dict(
    batch_size=batch,
    num_workers=0,
    sampler=dict(type=InfiniteSampler, shuffle=True, seed=0),
    collate_fn=dict(type=pseudo_collate),
    dataset=dict(type=SceneMasks, length=2400),
)
optim_wrapper = dict(
    type=OptimWrapper,
    optimizer=dict(type=AdamW, lr=1e-3, betas=(0.9, 0.98), weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type=LinearLR, start_factor=0.01, by_epoch=False, begin=0, end=warmup),
    dict(type=CosineAnnealingLR, eta_min=0.0, by_epoch=False, begin=warmup, end=steps),
]
model_wrapper_cfg = dict(type="MMDistributedDataParallel", device_ids=None, find_unused_parameters=True)
train_cfg = dict(by_epoch=False, max_iters=steps)
default_hooks = dict(
    checkpoint=dict(type="CheckpointHook", interval=200, max_keep_ckpts=3), logger=dict(type="LoggerHook", interval=50)
)
