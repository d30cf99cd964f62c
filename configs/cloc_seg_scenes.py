"""Label maps of held-out scenes painted region by region: the mini SAM's masks, named by the mini CLOC.

    python tools/test.py configs/cloc_seg_scenes.py

Nothing to download. `configs/fgvp_seg_scenes.py` paints the same masks, marked for the mini CLIP one by one;
`configs/maskclip_scenes.py` reads that CLIP patch by patch.
"""

from mmengine.config import read_base

with read_base():
    from .scenes import *

model.update(model="mini-cloc")
