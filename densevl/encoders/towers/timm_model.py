"""Towers of timm with settings of their own, which open_clip's ``TimmModel`` does not pass on."""

from collections.abc import Mapping
from typing import Any

import timm
from jaxtyping import Float
from torch import Tensor, nn

from densevl.core.errors import UsageError, suggestion
from densevl.core.geometry import Size

__all__ = ["TimmModel", "build_timm_model"]


class TimmModel(nn.Module):
    """A model of timm and what follows it; tensors are named as in open_clip's class of this name.

    Args:
        trunk: the model, with its own pooling.
        head: from what it puts out to the joint space.
        image_size: (height, width) of the images that it was trained with.
    """

    def __init__(self, trunk: nn.Module, head: nn.Module, image_size: Size) -> None:
        super().__init__()
        self.trunk, self.head, self.image_size = trunk, head, image_size

    def forward(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b d"]:
        """Whole normalised images in the joint space, not normalised."""
        return self.head(self.trunk(images))


def build_timm_model(
    config: Mapping[str, Any], embed_dim: int, state: Mapping[str, Tensor], quick_gelu: bool
) -> TimmModel:
    """A tower of timm by open_clip's keys ``timm_model_name``, ``timm_pool``, ``timm_proj``, ``timm_proj_bias``.

    Args:
        config: these keys, ``image_size``, and ``timm_model_kwargs``: further arguments of the model.
        embed_dim: width of the joint space.
        state: not used: timm builds the shapes.
        quick_gelu: not used: timm's models have an activation of their own.

    Raises:
        UsageError: where timm does not know the model, or the projection is another than none or linear.
    """
    name, projection = config["timm_model_name"], config.get("timm_proj")
    if not timm.is_model(name):
        raise UsageError(f"architecture {name!r} is unknown to timm; {suggestion(name, timm.list_models())}")
    if projection not in (None, "", "none", "linear"):
        raise UsageError(f"timm_proj must be none or linear, or left out; got {projection!r}")
    size = config.get("image_size", 224)
    trunk: Any = timm.create_model(
        name,
        num_classes=0 if projection else embed_dim,
        global_pool=config.get("timm_pool", "avg"),
        img_size=size,
        **config.get("timm_model_kwargs", {}),
    )
    head = nn.Sequential()
    if projection == "linear":
        head.add_module("proj", nn.Linear(trunk.num_features, embed_dim, bias=config.get("timm_proj_bias", False)))
    return TimmModel(trunk, head, (size, size) if isinstance(size, int) else tuple(size))
