"""Models by name, or from the configs of their parts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from densevl.api.model import Model
from densevl.api.model_parts import ModelParts
from densevl.api.models import ModelEntry, default_model, model_entry
from densevl.core.errors import UsageError

__all__ = ["choose_device", "load"]


def load(
    name: str | Mapping[str, Any] | None = None,
    *,
    weights: str | Path | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype = "float32",
    offline: bool = False,
    lazy: bool = False,
    **overrides: Any,
) -> Model:
    """Load a model.

    Args:
        name: a name from ``densevl models``; or the config of a segmentor, or of a grounder, or of several parts under
            ``segmentor``, ``grounder`` and ``embedder``; None takes ``dinoiser``, or ``maskclip`` where the network is
            not to be used and only its weights are here.
        weights: of the encoder, in the place of the model's own: a file or a name.
        device: where to run; None takes a GPU where there is one.
        dtype: of the weights: ``"float32"``, ``"bfloat16"`` or ``"float16"``.
        offline: never reach for the network; a missing file is an error that tells where to put it.
        lazy: also build the segmentor, or the grounder of a model without one, only when it is first used, as it is
            always done with the other parts.
        overrides: arguments that replace the model's own, of :class:`densevl.Segmentor` such as ``short_side=336``, of
            the grounder such as ``parser="spacy"``, or of the region embedder; each goes to every part of the model
            that takes an argument of its name. ``embedder="mask-pooling"`` and ``mask_maker="sam-vit-b"`` replace
            these parts themselves.

    Raises:
        UsageError: where the name, the device, the dtype or an override is unknown.
        WeightsError: where the weights are missing, damaged or of another model.
    """
    if name is None:
        name, _ = default_model(offline)
    entry = model_entry(name) if isinstance(name, str) else _entry_of(name)
    own = None if weights is None else str(weights)
    parts = ModelParts(entry, choose_device(device), own, dtype, offline, overrides)
    model = Model(
        (lambda: parts.segmentor) if entry.segmentor else None,
        entry.name,
        (lambda: parts.grounder) if entry.grounder else None,
        lambda: parts.embedder,
        lambda: parts.mask_maker,
        parts.templates,
    )
    if not lazy:
        _ = model.segmentor if entry.segmentor else model.grounder
    return model


def _entry_of(config: Mapping[str, Any]) -> ModelEntry:
    """A model from the configs of its parts, or from that of its only part."""
    if not set(config) & {"segmentor", "grounder", "embedder"}:
        config = {"grounder" if "embedders" in config else "segmentor": config}
    elif "encoder" in config:  # a segmentor by regions has an argument `embedder`
        config = {"segmentor": config}
    unknown = set(config) - {"segmentor", "grounder", "embedder"}
    if unknown:
        raise UsageError(f"a model is made of segmentor, grounder and embedder; got {', '.join(sorted(unknown))}")
    return ModelEntry("custom", "", (), **{part: dict(settings) for part, settings in config.items()})


def choose_device(device: str | torch.device | None) -> torch.device:
    """The device of a name, or a GPU where there is one.

    Raises:
        UsageError: where it is unknown or cannot be used here.
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"device {str(device)!r} cannot be used here ({reason}); try `cpu`") from None
    return chosen
