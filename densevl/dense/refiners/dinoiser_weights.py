"""The heads of CLIP-DINOiser from files: the published checkpoint, or our own safetensors.

The published layout, ``{"epoch": …, "model_state_dict": …}`` of ``torch.save``, has shapes alone; ours says in its
metadata which encoder the heads were trained on (``encoder``) and which map they read (``layer``).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.core.files import atomic_write
from densevl.dense.refiners.dinoiser import TAPPED, DinoiserRefiner
from densevl.weights import check_state_dict
from densevl.weights.opened import open_weights, random_seed

__all__ = ["build_dinoiser", "save_heads", "sub_patch_of"]


def build_dinoiser(
    weights: str | Path,
    *,
    layer: str | None = None,
    gamma: float = 0.2,
    radius: int | float | None = None,
    rounds: int = 1,
    width: int | None = None,
    sub_patch: int | None = None,
    offline: bool = False,
) -> DinoiserRefiner:
    """The refiner in float32 on the CPU, for inference.

    Args:
        weights: a name of the weights table, a file, or ``random:SEED`` for heads that have learned nothing.
        layer: name of the map that the heads read; what the file says where it is None, else that of the published
            heads.
        gamma: affinities below this count as 0.
        radius: patches farther apart than this, in patches, count as unlike; None for no limit.
        rounds: how many times the features are pooled.
        width: of the encoder, for random heads; files have their own.
        sub_patch: side of the sub-patches in pixels, for random heads; files have their own.
        offline: never reach for the network.

    Raises:
        UsageError: where the name is unknown, or gamma or the seed cannot be used.
        WeightsError: where the weights are missing, damaged or no such heads.
    """
    seed = random_seed(weights)
    if seed is not None:
        settings = {"gamma": gamma, "radius": radius, "rounds": rounds, "sub_patch": sub_patch}
        return _random(seed, width or 768, layer=layer or TAPPED, **settings)
    opened = open_weights(weights, offline)
    state, said, entry = opened.state, opened.metadata, opened.entry
    refiner = DinoiserRefiner(
        *_shape(state),
        layer=layer or said.get("layer", TAPPED),
        gamma=gamma,
        radius=radius,
        rounds=rounds,
        sub_patch=sub_patch_of(state),
        encoder_id=said.get("encoder", entry.arch if entry else None),
        name=opened.identity("dinoiser"),
    )
    check_state_dict(state, refiner.state_dict(), opened.path)
    refiner.load_state_dict(state)
    return refiner.eval().requires_grad_(False)


def save_heads(refiner: DinoiserRefiner, path: str | Path) -> None:
    """Write the weights as safetensors, with the encoder and the map that they belong to.

    Raises:
        OutputError: where the file cannot be written.
        UsageError: where the refiner does not know its encoder.
    """
    if refiner.encoder_id is None:
        raise UsageError("the refiner does not know which encoder it was trained on; set its encoder_id before saving")
    state = {name: tensor.contiguous().cpu() for name, tensor in refiner.state_dict().items()}
    metadata = {"format": "pt", "encoder": refiner.encoder_id, "layer": refiner.layer, "width": str(refiner.width)}
    with atomic_write(path) as temporary:
        temporary.write_bytes(save(state, metadata))


def _shape(state: dict[str, Tensor]) -> tuple[int, int]:
    """Width and inner width of the heads in a file; those of the published ones where it holds no heads."""
    weight = state.get("obj_proj.weight")
    return (768, 256) if weight is None or weight.ndim != 4 else (weight.shape[1], weight.shape[0])


def sub_patch_of(state: Mapping[str, Tensor]) -> int | None:
    """Side of the sub-patches of heads: that of the first convolution of their stem; None where they have no stem."""
    weight = state.get("stem.0.weight")
    return None if weight is None or weight.ndim != 4 else weight.shape[3]


def _random(seed: int, width: int, **settings: Any) -> DinoiserRefiner:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        refiner = DinoiserRefiner(width, **settings, name=f"dinoiser@random:{seed}")
    return refiner.eval().requires_grad_(False)
