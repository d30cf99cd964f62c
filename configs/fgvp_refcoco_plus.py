"""FGVP on RefCOCO+: accuracy of boxes at an overlap above 0.5.

    python tools/test.py configs/fgvp_refcoco_plus.py --cfg-options data_root=data/refer split=val proposals=true

Published (not measured here), val: 53.3 with crop and blur reverse mask, B/32 + RN50x16 and relations; 60.0 with
L/14@336 + RN50x16 and subtraction (model.model=fgvp-l14); one visual prompt alone: drawn circle 29.8, blur reverse
mask 44.9; ReCLIP 47.9. These papers choose from detected boxes: compare with proposals=FILE, not with true boxes.
"""

from mmengine.config import read_base

with read_base():
    from .refcoco_plus import *

model.update(model="fgvp")
