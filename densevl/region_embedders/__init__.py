"""The ways to turn regions of an image into vectors that can be compared with texts.

Importing this package registers the embedders.
"""

from densevl.region_embedders.embedder import RegionEmbedder
from densevl.region_embedders.marked_images import MarkedImages
from densevl.region_embedders.mask_pooling import MaskPooling, pool_regions
from densevl.region_embedders.promptable import PromptableCLIP
from densevl.region_embedders.prompted import PromptedRegions, load_prompter, save_prompter
from densevl.region_embedders.prompter import Prompter

__all__ = [
    "MarkedImages",
    "MaskPooling",
    "PromptableCLIP",
    "PromptedRegions",
    "Prompter",
    "RegionEmbedder",
    "load_prompter",
    "pool_regions",
    "save_prompter",
]
