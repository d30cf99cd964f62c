"""Label maps of held-out scenes painted region by region: the mini SAM's masks, marked for the mini CLIP.

    python tools/test.py configs/fgvp_seg_scenes.py

Nothing to download. Measured with `--limit 60`: 83.1 mIoU (grounds 95.7, seen pairs 82.4, never-seen pairs 78.4);
`configs/maskclip_scenes.py`, the same CLIP read patch by patch, has 77.1 on these 60 scenes.
"""

from mmengine.config import read_base

with read_base():
    from .scenes import *

model.update(model="mini-regions")
