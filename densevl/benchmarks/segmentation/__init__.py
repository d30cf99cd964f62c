"""Semantic segmentation through mmseg: the only folder that imports mmseg or mmcv."""

__all__: list[str] = []
