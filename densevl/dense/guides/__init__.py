"""Second encoders that tell which patches of an image belong together; one file a kind."""

from densevl.core.registry import Registry

__all__ = ["GUIDES"]

GUIDES = Registry(
    "guide",
    {
        "dino": "densevl.dense.guides.vit:build_vit_guide",
        "dinov2": (
            "densevl.dense.guides.vit:build_vit_guide",
            {"weights": "dinov2-vit-b14-reg4", "positions": "antialias"},
        ),
        "dinov3": ("densevl.dense.guides.vit:build_vit_guide", {"weights": "dinov3-vit-b16"}),
        "sam": "densevl.dense.guides.sam:build_sam_guide",
        "sam2": "densevl.dense.guides.sam:build_sam2_guide",
    },
)
