"""CLOC on RefCOCOg: accuracy of boxes at an overlap above 0.5, the region embeddings as scores.

    python tools/test.py configs/cloc_refcocog.py --cfg-options data_root=data/refer prompter=FILE

`data_root` holds the annotations in any format that tools/convert_refer.py reads, and COCO's train2014; `split=val` and
`proposals=true` unless told otherwise (everything, detector, a file of detections: each is a protocol of its own). No
figure is published for this use. Without a network or a training: `weights=mini-clip prompter=mini-cloc`, on photos a
figure without meaning.
"""

from mmengine.config import read_base

with read_base():
    from ._base_.cloc import *
    from .refcocog import *

model.update(model=cloc_grounder)
test_dataloader.update(batch_size=8)
