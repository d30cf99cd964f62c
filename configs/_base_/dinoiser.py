"""CLIP-DINOiser (Wysoczańska et al., ECCV 2024) as the named model, the same as ``densevl.load("dinoiser")``."""

from densevl.benchmarks.segmentation.model import OpenVocabularyModel

model = dict(type=OpenVocabularyModel, segmentor="dinoiser")
