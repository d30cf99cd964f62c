"""RefCOCO, split by UNC: val 10834, testA 5657 and testB 5095 expressions on images of COCO train2014.

    python tools/test.py configs/refcoco.py --model NAME --cfg-options data_root=data/refer split=val proposals=true
"""

from mmengine.config import read_base

with read_base():
    from ._base_.referring import *

test_dataloader["dataset"].update(dataset="refcoco", splits_by="unc")
