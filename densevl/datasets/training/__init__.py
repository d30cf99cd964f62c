"""Data sets of region texts, as CLOC is trained on them; importing this package registers them with MMEngine."""

from densevl.datasets.region_sample import collate_regions, region_sample
from densevl.datasets.training.coco import CocoRegionTexts
from densevl.datasets.training.refcoco import ReferringRegionTexts
from densevl.datasets.training.shards import RegionTextShards
from densevl.datasets.training.visits import VisitSampler

__all__ = [
    "CocoRegionTexts",
    "ReferringRegionTexts",
    "RegionTextShards",
    "VisitSampler",
    "collate_regions",
    "region_sample",
]
