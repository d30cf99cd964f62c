"""Image towers: those of libraries behind one contract, and densevl's own.

A module of a library gets an adapter, by its class; a module of ours is an
:class:`densevl.encoders.contracts.ImageTower` itself, and an architecture names it as ``tower`` in its ``vision_cfg``.
"""

from importlib import import_module
from typing import Any

from densevl.core.class_names import class_names
from densevl.core.errors import UsageError
from densevl.core.registry import Registry
from densevl.encoders.contracts import ImageTower

__all__ = ["ADAPTERS", "IMAGE_TOWERS", "image_tower"]

IMAGE_TOWERS = Registry(
    "image tower",
    {
        "alpha-clip": "densevl.encoders.towers.alpha:build_alpha_tower",
        "dinotxt": "densevl.encoders.towers.dinotxt:build_dinotxt_tower",
        "fg-clip-2": "densevl.encoders.towers.fg_clip_2:build_fg_clip_2",
        "free": "densevl.encoders.towers.free:build_free_image",
        "mean": "densevl.encoders.towers.headed:build_mean_tower",
        "moe": "densevl.encoders.towers.moe:build_moe_image",
        "radio": "densevl.encoders.towers.radio:build_radio_tower",
        "grain": "densevl.encoders.towers.grain:build_grain_tower",
        "timm": "densevl.encoders.towers.timm_model:build_timm_model",
    },
)
"""Builders of towers by the name that an architecture gives: of the rest of its ``vision_cfg``, the width of the joint
space, the tensors that the tower will be filled with, and whether its activation is QuickGELU."""

ADAPTERS = {
    "densevl.encoders.plain.PlainViT": "densevl.encoders.towers.open_clip:OpenClipTower",
    "open_clip.modified_resnet.ModifiedResNet": "densevl.encoders.towers.resnet:ResNetTower",
    "open_clip.transformer.VisionTransformer": "densevl.encoders.towers.open_clip:OpenClipTower",
    "timm.models.eva.Eva": "densevl.encoders.towers.eva:EvaTower",
    "timm.models.fastvit.FastVit": "densevl.encoders.towers.fastvit:FastViTTower",
    "timm.models.vision_transformer.VisionTransformer": "densevl.encoders.towers.timm:TimmTower",
}
"""Adapters by the class of the module that they adapt; one of timm is given with the head that follows it."""


def image_tower(visual: Any) -> ImageTower:
    """An image tower of whatever library, as the readers of densevl run it.

    Args:
        visual: the tower; it is referred to, not copied.

    Raises:
        UsageError: where the class of the tower is unknown, or the tower is of a kind that cannot be read.
    """
    if isinstance(visual, ImageTower):
        return visual
    parts = (visual.trunk, visual.head) if hasattr(visual, "trunk") else (visual,)
    for kind in class_names(type(parts[0])):
        row = ADAPTERS.get(kind)
        if row is not None:
            module, _, adapter = row.partition(":")
            return getattr(import_module(module), adapter)(*parts)
    known = ", ".join(name.rpartition(".")[2] for name in ADAPTERS)
    raise UsageError(f"no adapter is known for an image tower of {type(parts[0]).__name__}; there are {known}")
