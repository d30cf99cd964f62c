"""CLIP-DINOiser with the mini CLIP and its heads on held-out scenes, which densevl draws itself: nothing to download.

    python tools/test.py configs/dinoiser_scenes.py

Measured: 79.2 mIoU (grounds 94.5, seen pairs 79.2, never-seen pairs 67.9); MaskCLIP has 77.5 at this size and 77.9 at its best.
Other heads are measured with ``--cfg-options heads=work_dirs/dinoiser_train_scenes/heads.safetensors``.
"""

from mmengine.config import read_base

from densevl.benchmarks.adapter import OpenVocabularyModel

with read_base():
    from ._base_.scenes import *

model = dict(type=OpenVocabularyModel, segmentor="mini")
