"""The ways to turn regions of an image into vectors that can be compared with texts.

Importing this package registers the embedders.
"""

from densevl.region_embedders.embedder import RegionEmbedder
from densevl.region_embedders.marked_images import MarkedImages
from densevl.region_embedders.mask_pooling import MaskPooling, pool_regions

__all__ = ["MarkedImages", "MaskPooling", "RegionEmbedder", "pool_regions"]
