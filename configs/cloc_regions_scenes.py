"""Region recognition on held-out scenes with the mini CLOC: the names of true boxes, 64 to choose from.

    python tools/test.py configs/cloc_regions_scenes.py

Nothing to download. The mean over the pairs that training has seen and over those that it never saw is printed too.
"""

from mmengine.config import read_base

with read_base():
    from .regions_scenes import *

model.update(model="mini-cloc")
