"""Region recognition on held-out scenes: the names of true boxes, 64 to choose from, marked for the mini CLIP.

    python tools/test.py configs/fgvp_regions_scenes.py

Nothing to download. The mean over the pairs that training has seen and over those that it never saw is printed too.
"""

from mmengine.config import read_base

with read_base():
    from .regions_scenes import *

model.update(model="mini-regions")
