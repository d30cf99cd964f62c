"""Segmentors by name or from a config, with changes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from densevl.api.models import model_entry
from densevl.api.part_settings import offline_settings, torch_dtype, with_prompter, with_weights
from densevl.core.errors import UsageError
from densevl.core.registry import ENCODERS, SEGMENTORS, build

__all__ = ["build_segmentor"]

MINI_MASKS = {"type": "sam", "weights": "mini-sam"}


def build_segmentor(
    model: str | Mapping[str, Any],
    weights: str | None = None,
    dtype: str | torch.dtype = "float32",
    offline: bool = False,
    heads: str | Path | None = None,
    prompter: str | Path | None = None,
    **overrides: Any,
) -> Any:
    """Build a named model, or the config of a segmentor, with changes.

    Args:
        model: a name from ``densevl models``, or arguments of :class:`Segmentor`.
        weights: of the encoder, in the place of the model's own: a name of the weights table, the path of a file of
            the same architecture, or ``random:SEED`` for weights that mean nothing but take the same time; refiners
            then have random weights, too. With ``random:SEED`` and with ``mini-clip`` nothing is downloaded: masks
            are then made by the mini SAM.
        dtype: of the weights: ``"float32"``, ``"bfloat16"`` or ``"float16"``.
        offline: never reach for the network.
        heads: weights of the refiner, in the place of the model's own: a name or a file.
        prompter: of a region embedder that has one, likewise; ``weights`` bring their own, as
            :func:`densevl.api.part_settings.with_prompter` says.
        overrides: arguments of :class:`Segmentor` that replace the model's own.

    Raises:
        UsageError: where a name, the dtype or an override is unknown.
        WeightsError: where the weights are missing, damaged or of another model.
    """
    chosen = torch_dtype(dtype)
    config = {**(model_entry(model).segmentor if isinstance(model, str) else model), **overrides}
    encoder, refiners = config.pop("encoder", None), config.pop("refiners", ())
    embedder = with_prompter(config.pop("embedder", None), prompter, weights)
    config.update({} if embedder is None else {"embedder": embedder})
    if isinstance(encoder, Mapping) and weights is not None:
        encoder = with_weights(encoder, str(weights))
        if encoder["type"] == "random-clip":
            encoder = build(ENCODERS, encoder)
            refiners = [_changed(refiner, weights=str(weights), width=encoder.width) for refiner in refiners]
        if "mask_maker" in config and weights.partition(":")[0] in ("random", "mini-clip"):
            config["mask_maker"] = _with_mini_masks(config["mask_maker"])
    if heads is not None:
        if not any(isinstance(refiner, Mapping) and "weights" in refiner for refiner in refiners):
            raise UsageError(f"heads {heads!r}: this model has no refiner with weights; take one such as dinoiser")
        refiners = [_changed(refiner, weights=str(heads)) for refiner in refiners]
    if offline:
        config, encoder, refiners = map(offline_settings, (config, encoder, list(refiners)))
    config.update({} if encoder is None else {"encoder": encoder}, refiners=refiners)
    segmentor = build(SEGMENTORS, {"type": "Segmentor", **config})
    return segmentor.to(dtype=chosen)


def _changed(part: Any, **changes: Any) -> Any:
    """A part with other arguments, where it is a config that names weights; else as it is."""
    named = isinstance(part, Mapping) and isinstance(part.get("weights"), str | Path)
    return {**part, **changes} if named else part


def _with_mini_masks(maker: Any) -> Any:
    """The config of a mask maker with the mini SAM wherever it, or a config in it, names weights."""
    if not isinstance(maker, Mapping) or maker.get("weights") == MINI_MASKS["weights"]:
        return maker
    return MINI_MASKS if "weights" in maker else {key: _with_mini_masks(value) for key, value in maker.items()}
