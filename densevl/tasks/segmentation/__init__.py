"""From class names to label maps."""

from densevl.core.registry import Registry

__all__ = ["SEGMENTORS"]

SEGMENTORS = Registry(
    "segmentor",
    {
        "dense": "densevl.tasks.segmentation.segmentor:Segmentor",
        "regions": "densevl.tasks.segmentation.region_segmentor:RegionSegmentor",
        "sam3": "densevl.tasks.segmentation.sam3_segmentor:Sam3Segmentor",
    },
)
