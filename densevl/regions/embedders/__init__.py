"""Ways to turn regions of an image into vectors that can be compared with texts; one file a method."""

from densevl.core.registry import Registry

__all__ = ["REGION_EMBEDDERS"]

REGION_EMBEDDERS = Registry(
    "region embedder",
    {
        "alpha-clip": "densevl.regions.embedders.alpha_clip:AlphaRegions",
        "grain": "densevl.regions.embedders.grain:GrainRegions",
        "marked-images": "densevl.regions.embedders.marked_images:MarkedImages",
        "mask-pooling": "densevl.regions.embedders.mask_pooling:MaskPooling",
        "prompter": "densevl.regions.embedders.prompted:PromptedRegions",
        "roi-align": "densevl.regions.embedders.roi_pooling:RoIPooling",
        "text-region": "densevl.regions.embedders.text_region:TextRegion",
    },
)
