"""Region–text retrieval on held-out scenes with the mini CLOC, both ways: R@1, R@5, R@10.

    python tools/test.py configs/cloc_retrieval_scenes.py

Nothing to download. The gallery is all objects of the 500 scenes and all that is said of them, such as "small red star
on grass"; its size and what chance gives are printed.
"""

from mmengine.config import read_base

with read_base():
    from .retrieval_scenes import *

model.update(model="mini-cloc")
