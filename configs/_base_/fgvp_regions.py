"""Regions marked as in FGVP (Yang et al., NeurIPS 2023), the same as ``densevl.load("fgvp-seg")``.

Without a network, ``--cfg-options weights=mini-clip`` runs it all with the mini CLIP and the mini SAM, a few seconds an
image on a CPU; ``weights=random:0`` takes random weights of the published size, and far longer.
"""

from densevl.benchmarks.segmentation.model import OpenVocabularyModel

model = dict(type=OpenVocabularyModel, segmentor="fgvp-seg")
