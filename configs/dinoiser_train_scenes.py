"""The heads of the mini DINOiser from scenes without labels: no masks, no boxes, no words.

    python tools/train.py configs/dinoiser_train_scenes.py

The teacher is a random walk over the patches of the mini CLIP. The losses are the published ones, of pairs of patches near
each other; the pictures are close views of crowded scenes, at the scale in which the segmentor sees a scene of 128 pixels
at short side 224, since on sparse ones nearly all pairs are ground and ground. A few minutes on a core; the heads then lie in `work_dirs/dinoiser_train_scenes/heads.safetensors`. What they reach, by seed:
`densevl/data/mini/dinoiser_training.json`; for another seed
`--cfg-options model.seed=1 train_dataloader.sampler.seed=1 train_dataloader.dataset.seed=101`.
"""

from mmengine.dataset import InfiniteSampler, default_collate
from mmengine.optim import MultiStepLR, OptimWrapper
from torch.optim import AdamW

from densevl.training.dinoiser import DinoiserTraining
from densevl.training.export import ExportHeads
from densevl.training.scene_pictures import ScenePictures

steps, batch = 240, 8

model = dict(
    type=DinoiserTraining,
    encoder=dict(type="clip", weights="mini-clip"),
    teacher=dict(type="walk", encoder=dict(type="clip", weights="mini-clip"), layer="blocks.-2.ln_2"),
    layer="blocks.-2.ln_2",
    inner=96,
    reach=4.5,
    seed=0,
)
train_dataloader = dict(
    batch_size=batch,
    num_workers=0,
    sampler=dict(type=InfiniteSampler, shuffle=True, seed=0),
    collate_fn=dict(type=default_collate),
    dataset=dict(type=ScenePictures, length=1000, size=128, drawn=73, zoom=1.75, count=(3, 6), seed=100),
)
optim_wrapper = dict(
    type=OptimWrapper,
    optimizer=dict(type=AdamW, lr=2e-3, weight_decay=0.01),
    paramwise_cfg=dict(custom_keys=dict(bkg_decoder=dict(lr_mult=5))),  # 1e-2
)
param_scheduler = [dict(type=MultiStepLR, by_epoch=False, milestones=[190], gamma=0.1)]
model_wrapper_cfg = dict(type="MMDistributedDataParallel", device_ids=None)  # a CPU has none
train_cfg = dict(by_epoch=False, max_iters=steps)
default_hooks = dict(
    checkpoint=dict(type="CheckpointHook", interval=120, max_keep_ckpts=2), logger=dict(type="LoggerHook", interval=20)
)
custom_hooks = [dict(type=ExportHeads)]
