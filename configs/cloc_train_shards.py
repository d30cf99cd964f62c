"""CLOC at full size from scratch, as published, on shards of region texts of your own images.

    densevl label-regions images/ --out shards/
    torchrun --nproc-per-node 8 tools/train.py configs/cloc_train_shards.py --launcher pytorch --amp --cfg-options
        train_dataloader.dataset.shards=shards

Needs WebDataset tars or Parquet files of region-text records, by the hundred thousand at least; a number of shards that
is a multiple of processes × workers keeps these in the same pass. AdamW with warm-up to 5e-4 and a cosine over 100k
steps, ViT-B/16 at 224 pixels. From a finished CLIP: as `configs/cloc_train_grit.py`. Not run at this size here, so no
figure is claimed. Published with 2B images of WiT and DFN: 71.1 mAcc on COCO, 28.5 on LVIS
(`configs/cloc_coco_regions.py`, `configs/cloc_lvis_regions.py`).
"""

from mmengine.config import read_base

from densevl.datasets.training import RegionTextShards, collate_regions

with read_base():
    from ._base_.cloc_train import *

train_dataloader = dict(
    batch_size=256,
    num_workers=8,
    sampler=None,
    collate_fn=dict(type=collate_regions),
    dataset=dict(
        type=RegionTextShards,
        shards="shards",
        side=224,
        buffer=2000,
        damaged="stop",
        failures="work_dirs/cloc_train_shards/failures.jsonl",
    ),
)
