"""CLIP-DINOiser with the mini CLIP and its heads on held-out scenes, which densevl draws itself: nothing to download.

    python tools/test.py configs/dinoiser_scenes.py

Measured: 86.7 mIoU (grounds 95.6, seen pairs 87.0, never-seen pairs 78.2), labels on sub-patches of 2 pixels at short
side 192. MaskCLIP has 77.7 at this size and 77.9 at its best; affinities of the true instances on the same sub-patches
would give 89.2.
Other heads are measured with ``--cfg-options heads=work_dirs/dinoiser_train_scenes/heads.safetensors``.
"""

from mmengine.config import read_base

with read_base():
    from .scenes import *

model.update(model="mini")
