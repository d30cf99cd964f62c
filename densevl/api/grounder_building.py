"""Grounders by name or from a config, with changes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from densevl.api.models import model_entry, models
from densevl.api.part_settings import offline_settings, torch_dtype, with_prompter, with_weights
from densevl.core.errors import UsageError
from densevl.core.registry import GROUNDERS, build
from densevl.tasks.grounding.grounder import Grounder

__all__ = ["build_grounder"]


def build_grounder(
    model: str | Mapping[str, Any],
    weights: str | None = None,
    dtype: str | torch.dtype = "float32",
    offline: bool = False,
    prompter: str | Path | None = None,
    **overrides: Any,
) -> Grounder:
    """Build the grounder of a named model, or of a config, with changes.

    Args:
        model: a name from ``densevl models`` that has a grounder, or arguments of :class:`Grounder`.
        weights: of its only CLIP model, in the place of the model's own: a name of the weights table, or the path of
            a file of the same architecture.
        dtype: of the weights: ``"float32"``, ``"bfloat16"`` or ``"float16"``.
        offline: never reach for the network.
        prompter: of its region embedders, in the place of the model's own: a name or a file; ``weights`` bring their
            own, as :func:`densevl.api.part_settings.with_prompter` says.
        overrides: arguments of :class:`Grounder` that replace the model's own.

    Raises:
        UsageError: where a name, the dtype or an override is unknown, or the model has no grounder.
        WeightsError: where weights are missing, damaged or of another model.
    """
    chosen = torch_dtype(dtype)
    config: Any = {**(_settings(model) if isinstance(model, str) else model), **overrides}
    config["embedders"] = [with_prompter(one, prompter, weights) for one in config.get("embedders", ())]
    if weights is not None:
        config["embedders"] = _with_weights(config.get("embedders", ()), weights)
    if offline:
        config = offline_settings(config)
    grounder: Grounder = build(GROUNDERS, {"type": "Grounder", **config})
    return grounder.to(dtype=chosen)


def _settings(name: str) -> dict[str, Any]:
    settings = model_entry(name).grounder
    if not settings:
        able = ", ".join(other for other, entry in models().items() if entry.grounder)
        raise UsageError(f"model {name!r} has no grounder, so it cannot tell regions apart; take one of {able}")
    return settings


def _with_weights(embedders: Any, weights: str) -> list[Any]:
    """The configs of the embedders with other weights of their only encoder."""
    if weights.partition(":")[0] == "random":
        raise UsageError("a grounder takes no random weights: its rankings would mean nothing")
    known = {str(embedder["encoder"]) for embedder in embedders}
    if len(known) != 1:
        raise UsageError(
            f"weights replace those of one CLIP model, and this grounder has {len(known)}; "
            "give the configs of its embedders instead"
        )
    return [{**embedder, "encoder": with_weights(embedder["encoder"], weights)} for embedder in embedders]
