"""ADE20K, 150 classes of the scene parsing benchmark: the 2000 validation images of ADEChallengeData2016.

    python tools/test.py configs/ade.py --model NAME --cfg-options data_root=data/ade
"""

from mmengine.config import read_base

with read_base():
    from ._base_.segmentation import *

model.update(vocabulary="ade20k")
test_dataloader["dataset"].update(
    vocabulary="ade20k",
    data_root="data/ade",
    images="ADEChallengeData2016/images/validation",
    labels="ADEChallengeData2016/annotations/validation",
    reduce_zero_label=True,
    expected=2000,
)
