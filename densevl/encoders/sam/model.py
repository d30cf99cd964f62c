"""SAM's models with their weights: ViT-B, ViT-L and ViT-H of segment_anything, and the mini SAM."""

from pathlib import Path
from typing import NamedTuple

import torch
from segment_anything import sam_model_registry
from segment_anything.modeling import Sam as SamModel
from torch import Tensor

from densevl.core.errors import UsageError, WeightsError, suggestion
from densevl.encoders.sam.mini import build_mini_sam
from densevl.weights import check_state_dict, weights_table
from densevl.weights.opened import open_weights, random_seed

__all__ = ["ARCHITECTURES", "MINI", "OpenedSam", "build_sam_model", "open_sam"]

MINI = "mini-sam"
ARCHITECTURES = {"vit_b": 768, "vit_l": 1024, "vit_h": 1280, MINI: 128}
"""Architectures and the width of their image encoders."""
WIDTH_SHOWN_BY = "image_encoder.pos_embed"


class OpenedSam(NamedTuple):
    """A model of segment_anything with its weights, in float32 on the CPU.

    Attributes:
        model: in evaluation mode.
        name: what results call it.
        model_id: identity of the architecture and its weights.
        arch: one of :data:`ARCHITECTURES`.
        random: whether the weights mean nothing.
    """

    model: SamModel
    name: str
    model_id: str
    arch: str
    random: bool = False


def open_sam(weights: str | Path = MINI, arch: str | None = None, *, offline: bool = False) -> OpenedSam:
    """A SAM of named weights.

    Args:
        weights: a name of the weights table (``sam-vit-b``, ``sam-vit-l``, ``sam-vit-h``, ``mini-sam``), a file, or
            ``random:SEED`` for weights that mean nothing but take the same time.
        arch: ``vit_b``, ``vit_l``, ``vit_h`` or ``mini-sam``; for a file it may be left out, the weights show it;
            random weights are those of ViT-B without it.
        offline: never reach for the network.

    Raises:
        UsageError: where the name or the architecture is unknown.
        WeightsError: where the weights are missing, damaged or of another architecture.
    """
    seed = random_seed(weights)
    if seed is not None:
        arch = arch or "vit_b"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = _new_model(arch).eval()
        return OpenedSam(model, "random SAM", f"sam-{arch}@random:{seed}", arch, random=True)
    entry = weights_table().get(str(weights))
    if entry is not None and entry.kind not in ("sam", MINI):
        raise UsageError(f"weights {entry.name!r} are no SAM but {entry.kind}; take mini-sam or sam-vit-b, -l or -h")
    opened = open_weights(weights, offline)
    arch = arch or (entry and (entry.arch or entry.kind)) or _arch_of(opened.state, opened.path)
    model = build_sam_model(arch, opened.state, opened.path)
    name = "mini SAM" if arch == MINI else f"SAM ViT-{arch[-1].upper()}"
    return OpenedSam(model, name, opened.identity(f"sam-{arch.removesuffix('-sam')}"), arch)


def build_sam_model(arch: str, state: dict[str, Tensor], path: str | Path) -> SamModel:
    """A model of segment_anything with these weights, in float32 on the CPU.

    Args:
        arch: ``vit_b``, ``vit_l``, ``vit_h`` or ``mini-sam``.
        state: the weights.
        path: where they were read from, for the message.

    Raises:
        UsageError: where the architecture is unknown.
        WeightsError: where the weights are of another architecture.
    """
    # On the meta device nothing is allocated and no random number drawn for weights that come from the file.
    with torch.device("meta"):
        model = _new_model(arch)
    check_state_dict(state, model.state_dict(), path)
    model.load_state_dict({name: tensor.float() for name, tensor in state.items()}, assign=True)
    return model.eval()


def _new_model(arch: str) -> SamModel:
    if arch not in ARCHITECTURES:
        raise UsageError(f"architecture {arch!r} is unknown; {suggestion(arch, list(ARCHITECTURES))}")
    return build_mini_sam() if arch == MINI else sam_model_registry[arch]()


def _arch_of(state: dict[str, Tensor], path: str | Path) -> str:
    positions = state.get(WIDTH_SHOWN_BY)
    widths = {width: arch for arch, width in ARCHITECTURES.items()}
    if positions is None or positions.shape[-1] not in widths:
        found = f"has {WIDTH_SHOWN_BY} of shape {tuple(positions.shape)}" if positions is not None else "has none"
        raise WeightsError(
            f"{path} holds no weights of SAM ViT-B, ViT-L, ViT-H or the mini SAM: these have {WIDTH_SHOWN_BY}, and it "
            f"{found}"
        )
    return widths[positions.shape[-1]]
