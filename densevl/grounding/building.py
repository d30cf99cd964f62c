"""Grounders by name or from a config, with changes."""

from collections.abc import Mapping
from typing import Any

import torch

from densevl.errors import UsageError
from densevl.grounding.grounder import Grounder
from densevl.models import model_entry, models
from densevl.registry import GROUNDERS, build
from densevl.weights import weights_entry, weights_table

__all__ = ["build_grounder"]

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def build_grounder(
    model: str | Mapping[str, Any],
    weights: str | None = None,
    dtype: str | torch.dtype = "float32",
    offline: bool = False,
    **overrides: Any,
) -> Grounder:
    """Build the grounder of a named model, or of a config, with changes.

    Args:
        model: a name from ``densevl models`` that has a grounder, or arguments of :class:`Grounder`.
        weights: of its only CLIP model, in the place of the model's own: a name of the weights table, or the path of
            a file of the same architecture.
        dtype: of the weights: ``"float32"``, ``"bfloat16"`` or ``"float16"``.
        offline: never reach for the network.
        overrides: arguments of :class:`Grounder` that replace the model's own.

    Raises:
        UsageError: where a name, the dtype or an override is unknown, or the model has no grounder.
        WeightsError: where weights are missing, damaged or of another model.
    """
    if isinstance(dtype, str) and dtype not in DTYPES:
        raise UsageError(f"dtype must be one of {', '.join(DTYPES)}; got {dtype!r}")
    config: Any = {**(_settings(model) if isinstance(model, str) else model), **overrides}
    if weights is not None:
        config["embedders"] = _with_weights(config.get("embedders", ()), weights)
    if offline:
        config = _offline(config)
    grounder: Grounder = build(GROUNDERS, {"type": "Grounder", **config})
    return grounder.to(dtype=DTYPES[dtype] if isinstance(dtype, str) else dtype)


def _settings(name: str) -> dict[str, Any]:
    settings = model_entry(name).grounder
    if not settings:
        able = ", ".join(other for other, entry in models().items() if entry.grounder)
        raise UsageError(f"model {name!r} has no grounder, so it cannot tell regions apart; take one of {able}")
    return settings


def _with_weights(embedders: Any, weights: str) -> list[Any]:
    """The configs of the embedders with other weights of their only encoder."""
    known = {str(embedder["encoder"]) for embedder in embedders}
    if len(known) != 1:
        raise UsageError(
            f"weights replace those of one CLIP model, and this grounder has {len(known)}; "
            "give the configs of its embedders instead"
        )
    return [
        {**embedder, "encoder": {**embedder["encoder"], **_place(embedder["encoder"], weights)}}
        for embedder in embedders
    ]


def _place(encoder: Mapping[str, Any], weights: str) -> dict[str, Any]:
    if weights in weights_table():
        return {"weights": weights, "arch": None}
    arch = encoder.get("arch")
    if arch is None and encoder.get("weights") in weights_table():
        entry = weights_entry(encoder["weights"])
        arch = entry.arch or entry.kind
    if weights.partition(":")[0] == "random":
        raise UsageError("a grounder takes no random weights: its rankings would mean nothing")
    return {"weights": weights, "arch": arch}


def _offline(part: Any) -> Any:
    """A config in which nothing that has weights reaches for the network."""
    if isinstance(part, Mapping):
        inner = {key: _offline(value) for key, value in part.items()}
        return (
            {**inner, "offline": True}
            if "weights" in part and "type" in part and isinstance(part["weights"], str)
            else inner
        )
    if isinstance(part, list | tuple):
        return [_offline(value) for value in part]
    return part
