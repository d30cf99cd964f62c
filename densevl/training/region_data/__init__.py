"""Data sets of region texts, as CLOC is trained on them; importing this package registers them with MMEngine."""

from densevl.training.region_data.coco import CocoRegionTexts
from densevl.training.region_data.refcoco import ReferringRegionTexts
from densevl.training.region_data.sample import collate_regions, region_sample
from densevl.training.region_data.shards import RegionTextShards
from densevl.training.region_data.visits import VisitSampler

__all__ = [
    "CocoRegionTexts",
    "ReferringRegionTexts",
    "RegionTextShards",
    "VisitSampler",
    "collate_regions",
    "region_sample",
]
