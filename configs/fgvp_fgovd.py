"""FG-OVD (Bianchi et al., CVPR 2024): the true caption of a box among hard negatives, regions marked as in FGVP.

    python tools/test.py configs/fgvp_fgovd.py --cfg-options data_root=data/fgovd

No figure is published for true boxes.
"""

from mmengine.config import read_base

with read_base():
    from .fgovd import *

model.update(model="fgvp-seg")
