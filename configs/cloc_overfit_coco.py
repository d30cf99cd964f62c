"""The whole path of CLOC on real photos: 20 images of COCO val2017 learned by heart, from raw annotations to the figure.

    python tools/train.py configs/cloc_overfit_coco.py --cfg-options train_dataloader.dataset.data_root=data/coco
    python tools/test.py configs/cloc_coco_regions.py --limit 20 --cfg-options data_root=data/coco
        model.model.segmentor.encoder.arch=mini-clip weights=work_dirs/cloc_overfit_coco/clip.safetensors
        prompter=work_dirs/cloc_overfit_coco/prompter.safetensors

Both towers of the mini architecture and the prompter from scratch, on class names and captions, at 128 pixels. It shows
that boxes, texts and captions of training and evaluation are the same, and nothing about unseen images. Expected: 99 %
of the 201 boxes named right among 80 names (98.5 mAcc; chance 1.25), after less than three minutes on one core.
"""

from mmengine.config import read_base

with read_base():
    from .cloc_train_coco import *

steps, warmup = 120, 10

model = dict(
    type=ClocTraining,
    encoder=dict(type="random-clip", arch="mini-clip"),
    frozen=False,
    most=8,
    pool="hint",
    placed=True,
)
train_dataloader.update(batch_size=10, num_workers=0)
train_dataloader["dataset"].update(
    annotations="annotations/instances_val2017.json",
    image_folder="val2017",
    captions="annotations/captions_val2017.json",
    side=128,
    indices=20,
)
optim_wrapper["optimizer"].update(lr=1e-3, weight_decay=0.0)
param_scheduler = [
    dict(type=LinearLR, start_factor=0.01, by_epoch=False, begin=0, end=warmup),
    dict(type=CosineAnnealingLR, eta_min=0.0, by_epoch=False, begin=warmup, end=steps),
]
train_cfg = dict(by_epoch=False, max_iters=steps)
val_dataloader = val_evaluator = val_cfg = None
model_wrapper_cfg = dict(type="MMDistributedDataParallel", device_ids=None)  # a CPU has none
default_hooks = dict(
    checkpoint=dict(type="CheckpointHook", interval=steps, max_keep_ckpts=1), logger=dict(type="LoggerHook", interval=10)
)
