"""The heads of the mini DINOiser from scenes without labels: no masks, no boxes, no words.

    python tools/train.py configs/dinoiser_train_scenes.py

The heads refine onto sub-patches of 2 pixels, a quarter of a patch's side. Their teacher is a random walk over these: the
more alike neighbours are in colour and in the mini CLIP's map, the sooner it goes there. The losses are the published
ones, of pairs of sub-patches near each other; the images are close views of crowded scenes, at the scale in which the
segmentor sees a scene of 128 pixels at short side 192, since on sparse ones nearly all pairs are ground and ground. Some
minutes on two cores; the heads then lie in `work_dirs/dinoiser_train_scenes/heads.safetensors`. What they reach, by seed:
`densevl/data/mini/dinoiser_training.json`; for another seed
`--cfg-options model.seed=1 train_dataloader.sampler.seed=1 train_dataloader.dataset.seed=101`.
"""

from mmengine.dataset import InfiniteSampler, default_collate
from mmengine.optim import MultiStepLR, OptimWrapper
from torch.optim import AdamW

from densevl.training.dinoiser import DinoiserTraining
from densevl.training.export import ExportHeads
from densevl.datasets.scenes.training import ScenePictures

steps, batch = 300, 4

model = dict(
    type=DinoiserTraining,
    encoder=dict(type="clip", weights="mini-clip"),
    teacher=dict(
        type="walk",
        encoder=dict(type="clip", weights="mini-clip"),
        layer="blocks.-2.ln_2",
        scale=0.4,
        colour=0.05,
        marks=128,
    ),
    layer="blocks.-2.ln_2",
    inner=96,
    radius=2.9,
    sub_patch=2,
    seed=0,
)
train_dataloader = dict(
    batch_size=batch,
    num_workers=0,
    sampler=dict(type=InfiniteSampler, shuffle=True, seed=0),
    collate_fn=dict(type=default_collate),
    dataset=dict(type=ScenePictures, length=1000, size=96, drawn=64, zoom=2.0, count=(3, 6), seed=100),
)
optim_wrapper = dict(
    type=OptimWrapper,
    optimizer=dict(type=AdamW, lr=4e-3, weight_decay=0.01),
    paramwise_cfg=dict(custom_keys=dict(bkg_decoder=dict(lr_mult=2.5))),  # 1e-2
)
param_scheduler = [dict(type=MultiStepLR, by_epoch=False, milestones=[240], gamma=0.1)]
model_wrapper_cfg = dict(type="MMDistributedDataParallel", device_ids=None)  # a CPU has none
train_cfg = dict(by_epoch=False, max_iters=steps)
default_hooks = dict(
    checkpoint=dict(type="CheckpointHook", interval=60, max_keep_ckpts=2), logger=dict(type="LoggerHook", interval=10)
)
custom_hooks = [dict(type=ExportHeads)]
