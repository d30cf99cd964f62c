"""Label maps of held-out scenes painted region by region: the mini SAM's masks, marked for the mini CLIP.

    python tools/test.py configs/fgvp_seg_scenes.py

Nothing to download. Beside it: `configs/maskclip_scenes.py`, the same CLIP read patch by patch.
"""

from mmengine.config import read_base

from densevl.benchmarks.adapter import OpenVocabularyModel

with read_base():
    from ._base_.scenes import *

model = dict(type=OpenVocabularyModel, segmentor="mini-regions")
