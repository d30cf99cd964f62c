"""The published code of CLIP-DINOiser, run from a checkout of it."""

from densevl.benchmarks.speed.published.segmentor import PublishedSegmentor

__all__ = ["PublishedSegmentor"]
