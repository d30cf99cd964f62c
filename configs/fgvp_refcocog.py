"""FGVP on RefCOCOg: accuracy of boxes at an overlap above 0.5.

    python tools/test.py configs/fgvp_refcocog.py --cfg-options data_root=data/refer split=val proposals=true

Published (not measured here), val: 62.1 with crop and blur reverse mask, B/32 + RN50x16 and relations; 63.3 with
L/14@336 + RN50x16 and subtraction (model.model=fgvp-l14); one visual prompt alone: drawn circle 32.4, blur reverse
mask 49.6; ReCLIP 59.3. These papers choose from detected boxes: compare with proposals=FILE, not with true boxes.
"""

from mmengine.config import read_base

with read_base():
    from .refcocog import *

model.update(model="fgvp")
