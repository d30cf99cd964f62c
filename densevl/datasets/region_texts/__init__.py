"""Region texts at scale: records of images, captions and boxes with words; shards of them; and how they are made.

The making (VESL of CLOC, Chen et al., https://arxiv.org/abs/2410.02746): a caption, its noun phrases, and the boxes
that an open-vocabulary detector finds for them.
"""

from densevl.datasets.region_texts.record import RegionText, RegionTextRecord
from densevl.datasets.region_texts.shard import ShardHead
from densevl.datasets.region_texts.shards import read_records, shard_bytes, shard_head, shard_paths

__all__ = [
    "RegionText",
    "RegionTextRecord",
    "ShardHead",
    "read_records",
    "shard_bytes",
    "shard_head",
    "shard_paths",
]
