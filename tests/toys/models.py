"""Components of loaded models, on the CPU."""

from typing import Any

from densevl.api.loading import load


def build_segmentor(model: Any, weights: str | None = None, dtype: Any = "float32", **changes: Any) -> Any:
    """The segmentor of a model, with changes."""
    return load(model, weights=weights, dtype=dtype, device="cpu", **changes).segmentor


def build_grounder(model: Any, weights: str | None = None, dtype: Any = "float32", **changes: Any) -> Any:
    """The grounder of a model, with changes."""
    return load(model, weights=weights, dtype=dtype, device="cpu", lazy=True, **changes).grounder
