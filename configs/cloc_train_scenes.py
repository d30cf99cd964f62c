"""CLOC's prompter on the frozen mini CLIP, from scenes with the box and the text of each object.

    python tools/train.py configs/cloc_train_scenes.py --amp

A first recipe, tried for 60 steps and not yet run to its end, so no figure is claimed. The prompter then lies in
`work_dirs/cloc_train_scenes/prompter.safetensors`, for `dict(type="prompter", encoder=dict(type="clip",
weights="mini-clip"), prompter="work_dirs/cloc_train_scenes/prompter.safetensors")`. It is read off the hint, with places
added to the tokens: both learn faster in a short training on a CLIP that is not trained along.
"""

from mmengine.dataset import InfiniteSampler
from mmengine.optim import CosineAnnealingLR, LinearLR, OptimWrapper
from torch.optim import AdamW

from densevl.training.cloc import ExportPrompter, PrompterTraining
from densevl.training.scene_region_texts import SceneRegionTexts, collate_regions

steps, warmup, batch = 1500, 50, 16

model = dict(
    type=PrompterTraining, encoder=dict(type="clip", weights="mini-clip"), most=4, pool="hint", placed=True, seed=0
)
train_dataloader = dict(
    batch_size=batch,
    num_workers=0,
    sampler=dict(type=InfiniteSampler, shuffle=True, seed=0),
    collate_fn=dict(type=collate_regions),
    dataset=dict(type=SceneRegionTexts, length=4000, size=128, zoom=1.2, count=(2, 5), seed=200),
)
optim_wrapper = dict(
    type=OptimWrapper,
    optimizer=dict(type=AdamW, lr=1e-3, betas=(0.9, 0.98), weight_decay=0.2),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type=LinearLR, start_factor=0.01, by_epoch=False, begin=0, end=warmup),
    dict(type=CosineAnnealingLR, eta_min=0.0, by_epoch=False, begin=warmup, end=steps),
]
# A CPU has no device ids; hints of points and masks are not trained here, so some weights get no gradient.
model_wrapper_cfg = dict(type="MMDistributedDataParallel", device_ids=None, find_unused_parameters=True)
train_cfg = dict(by_epoch=False, max_iters=steps)
default_hooks = dict(
    checkpoint=dict(type="CheckpointHook", interval=300, max_keep_ckpts=2), logger=dict(type="LoggerHook", interval=10)
)
custom_hooks = [dict(type=ExportPrompter)]
