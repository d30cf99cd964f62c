"""Semantic segmentation through mmseg: the only folder that imports mmseg or mmcv.

``custom_imports = dict(imports=["densevl.benchmarks.segmentation"])`` in a config of mmsegmentation registers its
model, data sets, transforms, metric and hook.
"""

from densevl.benchmarks.segmentation import classes, datasets, metric, model, pipeline

__all__ = ["classes", "datasets", "metric", "model", "pipeline"]
