"""RefCOCOg, split by UMD: val 4896 and test 9602 expressions on images of COCO train2014.

    python tools/test.py configs/refcocog.py --model NAME --cfg-options data_root=data/refer split=val proposals=true
"""

from mmengine.config import read_base

with read_base():
    from ._base_.referring import *

test_dataloader["dataset"].update(dataset="refcocog", splits_by="umd")
