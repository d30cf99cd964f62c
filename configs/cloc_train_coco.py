"""CLOC's prompter on a finished CLIP ViT-B/16, from the boxes and class names of COCO train2017.

    python tools/train.py configs/cloc_train_coco.py --amp --cfg-options train_dataloader.dataset.data_root=data/coco
        val_dataloader.dataset.data_root=data/coco

Needs train2017, val2017, annotations/instances_*.json and annotations/captions_train2017.json below data/coco, and
the weights clip-vit-b16-laion2b. On several GPUs: `torchrun --nproc-per-node 8 tools/train.py … --launcher pytorch`.
The CLIP trained along at a tenth of the rate, with the captions for L_CLIP: `model.frozen=False
optim_wrapper.paramwise_cfg.rates.clip=0.1 train_dataloader.dataset.bare=True`. LVIS: `train_dataloader.dataset.annotations=
annotations/lvis_v1_train.json`. Other files of that format: texts are an annotation's `phrase`, `text` or `caption`.
Every 2000 steps the boxes of 500 images of val2017 are named. Not run at this size here, so no figure is
claimed; published for a CLIP tuned in 100k steps on far more data: 64.1 mAcc. `configs/cloc_coco_regions.py` measures it.
"""

from mmengine.config import read_base
from mmengine.dataset import DefaultSampler, pseudo_collate

from densevl.datasets.regions.datasets import NamedRegions
from densevl.benchmarks.regions.metrics import RecognitionMetric
from densevl.training.cloc.accuracy import RegionLoop
from densevl.datasets.training import CocoRegionTexts, VisitSampler, collate_regions

with read_base():
    from ._base_.cloc_train import *

steps, warmup, batch = 20000, 500, 128

model = dict(type=ClocTraining, encoder=dict(type="clip", weights="clip-vit-b16-laion2b"), frozen=True, most=4)
train_dataloader = dict(
    batch_size=batch,
    num_workers=8,
    sampler=dict(type=VisitSampler, shuffle=True, seed=0),
    collate_fn=dict(type=collate_regions),
    dataset=dict(
        type=CocoRegionTexts,
        data_root="data/coco",
        annotations="annotations/instances_train2017.json",
        image_folder="train2017",
        captions="annotations/captions_train2017.json",
        side=224,
        templates="none",
    ),
)
optim_wrapper["paramwise_cfg"] = dict(rates=dict())
param_scheduler = [
    dict(type=LinearLR, start_factor=0.001, by_epoch=False, begin=0, end=warmup),
    dict(type=CosineAnnealingLR, eta_min=0.0, by_epoch=False, begin=warmup, end=steps),
]
train_cfg.update(max_iters=steps, val_interval=2000)
val_dataloader = dict(
    batch_size=16,
    num_workers=2,
    sampler=dict(type=DefaultSampler, shuffle=False, round_up=False),
    collate_fn=dict(type=pseudo_collate),
    dataset=dict(
        type=NamedRegions,
        title="COCO val2017, boxes of 500 images",
        data_root="data/coco",
        annotations="annotations/instances_val2017.json",
        image_folder="val2017",
        indices=500,
    ),
)
val_evaluator = dict(type=RecognitionMetric)
val_cfg = dict(type=RegionLoop)
