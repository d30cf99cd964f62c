"""The mini CLIP from scratch on rendered scenes and image-level text: no masks, no boxes.

    python tools/train.py configs/clip_train_scenes.py

About half an hour on two cores with bfloat16; `configs/clip_tune_scenes.py` goes on from there. Expected of both
together on `configs/maskclip_scenes.py`: see `densevl/data/mini/clip_training.json`.
"""

from mmengine.dataset import InfiniteSampler, pseudo_collate
from mmengine.optim import CosineAnnealingLR, LinearLR, OptimWrapper
from torch.optim import AdamW

from densevl.training.contrastive import ContrastiveCLIP
from densevl.datasets.scenes.training import ScenePairs

# The rate falls towards step 3600 but this stage ends at 2000: the second takes over where learning is still fast.
steps, warmup, horizon, batch = 2000, 100, 3600, 48

model = dict(type=ContrastiveCLIP, cover_patches=4, weights=(0.5, 1.0, 1.0), ramp=(200, 600), balance=0.5)

train_dataloader = dict(
    batch_size=batch,
    num_workers=0,
    sampler=dict(type=InfiniteSampler, shuffle=True, seed=0),
    collate_fn=dict(type=pseudo_collate),
    dataset=dict(type=ScenePairs, length=30000, size=64, zoom=(1.4, 2.6), count=(1, 2)),
)
optim_wrapper = dict(
    type=OptimWrapper,
    optimizer=dict(type=AdamW, lr=1.2e-3, betas=(0.9, 0.98), weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type=LinearLR, start_factor=0.01, by_epoch=False, begin=0, end=warmup),
    dict(type=CosineAnnealingLR, eta_min=0.0, by_epoch=False, begin=warmup, end=horizon),
]
model_wrapper_cfg = dict(type="MMDistributedDataParallel", device_ids=None)  # a CPU has none
train_cfg = dict(by_epoch=False, max_iters=steps)
default_hooks = dict(
    checkpoint=dict(type="CheckpointHook", interval=200, max_keep_ckpts=3), logger=dict(type="LoggerHook", interval=50)
)
