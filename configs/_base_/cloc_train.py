"""CLOC at full size from scratch, as published: ViT-B/16 at 224 pixels; a config adds the training data.

AdamW with β = (0.9, 0.98) and decay 0.2, 2000 steps of warm-up to 5e-4, then a cosine; M = 4 regions an image, texts above
a cosine of 0.9 are no negatives. Everything from a finished CLIP at a lower rate: `model.encoder=dict(type="clip",
weights="clip-vit-b16-laion2b")` and `optim_wrapper.paramwise_cfg=dict(rates=dict(clip=0.1))`; the prompter alone on it:
`model.frozen=True` besides.
"""

from mmengine.optim import CosineAnnealingLR, LinearLR, OptimWrapper
from torch.optim import AdamW

from densevl.training.cloc.model import ClocTraining
from densevl.training.cloc.export import ExportCloc
from densevl.training.rates import PartRates

steps, warmup = 100000, 2000

model = dict(type=ClocTraining, encoder=dict(type="random-clip", arch="ViT-B-16"), frozen=False, most=4)
optim_wrapper = dict(
    type=OptimWrapper,
    optimizer=dict(type=AdamW, lr=5e-4, betas=(0.9, 0.98), weight_decay=0.2),
    constructor=PartRates,
    paramwise_cfg=dict(rates=dict(clip=1.0)),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type=LinearLR, start_factor=0.001, by_epoch=False, begin=0, end=warmup),
    dict(type=CosineAnnealingLR, eta_min=0.0, by_epoch=False, begin=warmup, end=steps),
]
train_cfg = dict(by_epoch=False, max_iters=steps)
default_hooks = dict(
    checkpoint=dict(type="CheckpointHook", interval=1000, max_keep_ckpts=2), logger=dict(type="LoggerHook", interval=50)
)
visualizer = dict(type="Visualizer", vis_backends=[dict(type="LocalVisBackend")])
custom_hooks = [dict(type=ExportCloc)]
