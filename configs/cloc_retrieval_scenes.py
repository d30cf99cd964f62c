"""Region–text retrieval on held-out scenes with the mini CLOC, in both directions.

    python tools/test.py configs/cloc_retrieval_scenes.py

Nothing to download.
"""

from mmengine.config import read_base

with read_base():
    from .retrieval_scenes import *

model.update(model="mini-cloc")
