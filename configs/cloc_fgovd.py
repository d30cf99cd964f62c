"""CLOC on FG-OVD: the true caption of a box among hard negatives.

    python tools/test.py configs/cloc_fgovd.py --cfg-options data_root=data/fgovd prompter=FILE

No figure is published for true boxes. Without a network or a training: `weights=mini-clip prompter=mini-cloc`, on
photos a figure without meaning.
"""

from mmengine.config import read_base

with read_base():
    from ._base_.cloc import *
    from .fgovd import *

model.update(model=cloc)
test_dataloader.update(batch_size=8)
