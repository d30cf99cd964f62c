"""Benchmarks through mmsegmentation: the only folder of densevl that imports mmseg or mmcv."""

__all__: list[str] = []
