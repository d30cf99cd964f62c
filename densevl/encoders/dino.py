"""DINO: self-supervised ViTs of timm, read at the attention of the last block.

Source: Caron et al., Emerging Properties in Self-Supervised Vision Transformers, ICCV 2021,
https://arxiv.org/abs/2104.14294; reference code facebookresearch/dino. The model's own blocks are called; of the last
one only the projection to queries, keys and values is computed, before any normalisation of heads.

Convention: images are RGB in [0, 1], padded with zeros (black) at the right and the bottom to a multiple of the patch
size and then normalised. The position embedding is resized bicubic without antialiasing, by the ratio (side + 0.1) /
native side, as the reference code does; timm itself resizes with antialiasing, by the ratio of the sides.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

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
from densevl.weights.layouts import layouts
from densevl.weights.opened import OpenedWeights, open_weights, random_seed

__all__ = ["DINOEncoder", "OpenedViT", "build_dino", "build_dino_model", "open_vit"]

PARTS = ("query", "key", "value")

LAYOUTS = ("dinov2", "dinov3")
"""Layouts of files of ViTs alone that are not named as timm names them."""


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
    opened = open_vit(weights, arch, offline=offline)
    encoder = DINOEncoder(opened.model, opened.model_id, mean or opened.mean, std or opened.std)
    return encoder.eval().requires_grad_(False)


class OpenedViT(NamedTuple):
    """A self-supervised ViT of timm with its weights, in float32 on the CPU.

    Attributes:
        model: without a head.
        model_id: identity of architecture and weights.
        mean: mean of each channel that it was trained with.
        std: standard deviation of each channel that it was trained with.
    """

    model: nn.Module
    model_id: str
    mean: Sequence[float] = IMAGENET_DEFAULT_MEAN
    std: Sequence[float] = IMAGENET_DEFAULT_STD


def open_vit(weights: str | Path, arch: str | Mapping[str, Any] | None = None, *, offline: bool = False) -> OpenedViT:
    """A ViT with registers and rotary positions or without, of weights by timm's names, DINOv2's or DINOv3's.

    Args:
        weights: a name of the weights table, a file, or ``random:SEED`` for weights that mean nothing.
        arch: architecture, as :func:`build_dino` takes it; random weights need one.
        offline: never reach for the network.

    Raises:
        UsageError: where the name or the architecture is unknown.
        WeightsError: where the weights are missing, damaged or of another architecture.
    """
    seed = random_seed(weights)
    if seed is not None:
        if arch is None:
            raise UsageError("random weights have no architecture of their own; say arch='vit_small_patch16_224'")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = build_dino_model(arch)
        kind = arch if isinstance(arch, str) else hashlib.sha256(repr(sorted(arch.items())).encode()).hexdigest()[:8]
        return OpenedViT(model.eval().requires_grad_(False), f"{kind}@random:{seed}")
    opened = open_weights(weights, offline)
    path, entry = opened.path, opened.entry
    if arch is None:
        arch = entry.arch if entry is not None and entry.arch is not None else _arch_beside(path)
    with torch.device("meta"):  # no random number is drawn for weights that come from the file
        model = build_dino_model(arch)
    state = _by_timm_names(opened)
    check_state_dict(state, model.state_dict(), path)
    model.load_state_dict(state, assign=True)
    identity = opened.identity(arch if isinstance(arch, str) else path.stem)
    model = model.float().eval().requires_grad_(False)
    return OpenedViT(model, identity) if entry is None else OpenedViT(model, identity, entry.mean, entry.std)


def _by_timm_names(opened: OpenedWeights) -> dict[str, Tensor]:
    """The tensors of a file of timm, or of DINOv2 or DINOv3 as they were published, by timm's names."""
    named = opened.entry.layout if opened.entry else None
    layout = next((row for row in (layouts()[name] for name in LAYOUTS) if row.name == named), None)
    if layout is None and named is None:
        layout = next((row for row in (layouts()[name] for name in LAYOUTS) if row.fits(opened.state)), None)
    if layout is None:
        return opened.state
    return {name.removeprefix("visual.trunk."): value for name, value in layout.read(opened.state, {}).items()}


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
