"""DINO: self-supervised ViTs of timm, read at the attention of the last block.

Source: Caron et al., Emerging Properties in Self-Supervised Vision Transformers, ICCV 2021,
https://arxiv.org/abs/2104.14294; reference code facebookresearch/dino. The model's own blocks are called; of the last
one only the projection to queries, keys and values is computed, before any normalisation of heads.

Convention: images are RGB in [0, 1], padded with zeros (black) at the right and the bottom to a multiple of the patch
size and then normalised. The position embedding is resized bicubic without antialiasing, by the ratio (side + 0.1) /
native side, as the reference code does; timm itself resizes with antialiasing, by the ratio of the sides.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from jaxtyping import Float
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import VisionTransformer
from torch import Tensor, nn

from densevl.core.conv_stem import ConvStem
from densevl.core.errors import UsageError, WeightsError, suggestion
from densevl.core.files import parse_json
from densevl.core.geometry import Size, pad_to_multiple
from densevl.core.images import normalise
from densevl.encoders.towers.positions import resize_positions
from densevl.weights import check_state_dict
from densevl.weights.opened import open_weights

__all__ = ["DINOEncoder", "build_dino", "build_dino_model"]

PARTS = ("query", "key", "value")


class DINOEncoder(nn.Module):
    """A ViT that describes patches by queries, keys or values of its last block.

    The model is used as it stands: device, dtype and training are the caller's affair. No method computes gradients.

    Args:
        model: a ViT of timm with square patches and an absolute position embedding.
        model_id: identity of architecture and weights.
        mean: mean of each channel that the model was trained with.
        std: standard deviation of each channel that the model was trained with.

    Attributes:
        patch_size: side of a patch in pixels.
        width: channels of queries, keys and values, heads concatenated.

    Raises:
        UsageError: where the model is of another kind.
    """

    def __init__(
        self,
        model: Any,
        model_id: str,
        mean: Sequence[float] = IMAGENET_DEFAULT_MEAN,
        std: Sequence[float] = IMAGENET_DEFAULT_STD,
    ) -> None:
        super().__init__()
        _check_model(model)
        self.model = model
        self.model_id = model_id
        # Plain numbers, not buffers: a module in bfloat16 would round them.
        self.mean, self.std = tuple(mean), tuple(std)
        self.patch_size: int = model.patch_embed.patch_size[0]
        self.width: int = model.embed_dim

    @torch.no_grad()
    def project(self, images: Float[Tensor, "b 3 H W"], part: str) -> Float[Tensor, "b c h w"]:
        """Queries, keys or values of the last block on the patch grid of images of one size, any size.

        Args:
            images: RGB in [0, 1].
            part: ``"query"``, ``"key"`` or ``"value"``.

        Raises:
            UsageError: where the part is another.
        """
        if part not in PARTS:
            raise UsageError(f"the part of the last block must be one of {', '.join(PARTS)}; got {part!r}")
        x, grid = self.tokens(images)
        *blocks, last = self.model.blocks
        for block in blocks:
            x = block(x)
        projected = last.attn.qkv(last.norm1(x)).chunk(3, dim=2)[PARTS.index(part)]
        return projected[:, self.model.num_prefix_tokens :].mT.unflatten(2, grid)

    @torch.no_grad()
    def tokens(self, images: Float[Tensor, "b 3 H W"]) -> tuple[Float[Tensor, "b n c"], Size]:
        """Tokens that enter the first block, the class token first, and the patch grid.

        Args:
            images: RGB in [0, 1].
        """
        model = self.model
        whole = normalise(pad_to_multiple(images, self.patch_size), self.mean, self.std)
        patches = model.patch_embed.proj(whole.to(model.pos_embed.dtype))
        grid = (patches.shape[2], patches.shape[3])
        x = model.patch_embed.norm(patches.flatten(2).mT)
        if model.cls_token is not None:
            x = torch.cat([model.cls_token.expand(len(x), -1, -1).to(x.dtype), x], dim=1)
        native = tuple(model.patch_embed.grid_size)
        positions = resize_positions(model.pos_embed[0], native, grid, "plus", model.num_prefix_tokens)
        return model.norm_pre(x + positions.to(x.dtype)), grid


def build_dino(
    weights: str | Path,
    arch: str | Mapping[str, Any] | None = None,
    *,
    offline: bool = False,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> DINOEncoder:
    """A DINO encoder in float32 on the CPU, for inference.

    Args:
        weights: a name of the weights table, or a file.
        arch: architecture by its name in timm, such as ``"vit_small_patch8_224"``, or the arguments of timm's
            ``VisionTransformer`` (see :func:`build_dino_model`). Where it is None, a name of the weights table knows
            it, and beside a file it is read from the JSON file of the same name.
        offline: never reach for the network.
        mean: mean of each channel in training; None for that of the weights table, else ImageNet's.
        std: standard deviation of each channel in training; None for that of the weights table, else ImageNet's.

    Raises:
        UsageError: where the name or the architecture is unknown.
        WeightsError: where the weights are missing, damaged or of another architecture.
    """
    opened = open_weights(weights, offline)
    path, entry = opened.path, opened.entry
    if arch is None:
        arch = entry.arch if entry is not None and entry.arch is not None else _arch_beside(path)
    with torch.device("meta"):  # no random number is drawn for weights that come from the file
        model = build_dino_model(arch)
    check_state_dict(opened.state, model.state_dict(), path)
    model.load_state_dict(opened.state, assign=True)
    encoder = DINOEncoder(
        model.float(),
        model_id=opened.identity(arch if isinstance(arch, str) else path.stem),
        mean=mean or (entry.mean if entry else IMAGENET_DEFAULT_MEAN),
        std=std or (entry.std if entry else IMAGENET_DEFAULT_STD),
    )
    return encoder.eval().requires_grad_(False)


def build_dino_model(arch: str | Mapping[str, Any]) -> nn.Module:
    """A ViT of timm without a head and with new weights.

    Args:
        arch: a name of timm, or arguments of ``timm.models.VisionTransformer``; ``stem=(first, second)`` in them puts
            convolutions of so many channels in the place of the linear embedding of patches of 8 pixels.

    Raises:
        UsageError: where the architecture is unknown, or no such ViT.
    """
    if isinstance(arch, str):
        if not timm.is_model(arch):
            raise UsageError(f"architecture {arch!r} is unknown to timm; {suggestion(arch, timm.list_models('vit_*'))}")
        return timm.create_model(arch, pretrained=False, num_classes=0)
    arguments: dict[str, Any] = {"num_classes": 0, **arch}
    stem = arguments.pop("stem", None)
    try:
        model = VisionTransformer(**arguments)
    except (TypeError, ValueError, AssertionError) as error:
        raise UsageError(f"timm builds no VisionTransformer of {dict(arch)}: {error}") from error
    if stem is not None:
        model.patch_embed.proj = ConvStem(model.embed_dim, tuple(stem))
    return model


def _check_model(model: Any) -> None:
    sides = getattr(getattr(model, "patch_embed", None), "patch_size", (0, 1))
    positions = getattr(model, "pos_embed", None)
    if not isinstance(model, VisionTransformer) or sides[0] != sides[1] or positions is None:
        raise UsageError(
            f"expected a VisionTransformer of timm with square patches and a position embedding, such as "
            f"vit_small_patch8_224; got {type(model).__name__}"
        )
    rows, columns = model.patch_embed.grid_size
    own = 0 if model.cls_token is None else 1
    if model.num_prefix_tokens != own or positions.shape[1] != own + rows * columns:
        raise UsageError(
            "a ViT with register tokens, or with no position of its class token, is not DINO; take another"
        )


def _arch_beside(path: Path) -> Mapping[str, Any]:
    """The arguments of timm's ``VisionTransformer`` in the JSON file beside the weights."""
    file = path.with_suffix(".json")
    try:
        arguments = parse_json(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"say which architecture {path} belongs to, as arch='vit_small_patch8_224' or in {file}"
        ) from None
    except (OSError, ValueError) as error:
        raise WeightsError(f"{file} does not tell the architecture of {path.name}: {error}") from error
    if not isinstance(arguments, Mapping):
        raise WeightsError(f"{file} holds a {type(arguments).__name__}; expected arguments of timm's VisionTransformer")
    return arguments
