"""CLIP-DINOiser with the mini CLIP and its heads on held-out scenes, which densevl draws itself: nothing to download.

    python tools/test.py configs/dinoiser_scenes.py

Other heads are measured with ``--cfg-options heads=work_dirs/dinoiser_train_scenes/heads.safetensors``.
"""

from mmengine.config import read_base

from densevl.benchmarks.adapter import OpenVocabularyModel

with read_base():
    from ._base_.scenes import *

model = dict(type=OpenVocabularyModel, segmentor="mini")
