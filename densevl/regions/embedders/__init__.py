"""The ways to turn regions of an image into vectors that can be compared with texts.

Importing this package registers the embedders.
"""

from densevl.regions.embedders.embedder import RegionEmbedder
from densevl.regions.embedders.marked_images import MarkedImages
from densevl.regions.embedders.mask_pooling import MaskPooling, pool_regions
from densevl.regions.embedders.promptable import PromptableCLIP
from densevl.regions.embedders.prompted import PromptedRegions, load_prompter, save_prompter
from densevl.regions.embedders.prompter import Prompter

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
