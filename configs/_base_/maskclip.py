"""MaskCLIP (Zhou et al., ECCV 2022) as the named model of that name, the same as ``densevl.load("maskclip")``."""

from densevl.benchmarks.segmentation.model import OpenVocabularyModel

model = dict(type=OpenVocabularyModel, segmentor="maskclip")
