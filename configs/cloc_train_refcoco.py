"""CLOC's prompter on a finished CLIP ViT-B/16, from the referring expressions of RefCOCO's train split.

    python tools/train.py configs/cloc_train_refcoco.py --amp --cfg-options
        train_dataloader.dataset.data_root=data/refer

Needs refcoco/refs(unc).p and refcoco/instances.json (or another format that `tools/convert_refer.py` reads) and COCO's
train2014 below data/refer, and the weights clip-vit-b16-laion2b. To go on from a prompter trained on COCO:
`model.prompter=work_dirs/cloc_train_coco/prompter.safetensors`. RefCOCO+ and RefCOCOg: `train_dataloader.dataset.dataset=
refcoco+`, `refcocog`. There are no captions, so the CLIP stays as it is. Of several sentences of an object one is drawn at
each visit. Not run at this size here, so no figure is claimed; `configs/cloc_refcoco.py` measures it.
"""

from mmengine.config import read_base

from densevl.datasets.training import ReferringRegionTexts, VisitSampler, collate_regions

with read_base():
    from ._base_.cloc_train import *

steps, warmup, batch = 5000, 200, 64

model = dict(type=ClocTraining, encoder=dict(type="clip", weights="clip-vit-b16-laion2b"), frozen=True, most=4)
train_dataloader = dict(
    batch_size=batch,
    num_workers=8,
    sampler=dict(type=VisitSampler, shuffle=True, seed=0),
    collate_fn=dict(type=collate_regions),
    dataset=dict(type=ReferringRegionTexts, dataset="refcoco", data_root="data/refer", split="train", side=224),
)
optim_wrapper["paramwise_cfg"] = dict(rates=dict())
param_scheduler = [
    dict(type=LinearLR, start_factor=0.001, by_epoch=False, begin=0, end=warmup),
    dict(type=CosineAnnealingLR, eta_min=0.0, by_epoch=False, begin=warmup, end=steps),
]
train_cfg.update(max_iters=steps)
