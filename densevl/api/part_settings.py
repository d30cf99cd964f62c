"""The settings of a model's parts, as ``models.json`` writes them, with changes: other weights, no network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from densevl.core.errors import UsageError
from densevl.weights import weights_entry, weights_table

__all__ = ["offline_settings", "torch_dtype", "with_prompter", "with_weights"]

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

OWN_PROMPTERS = {"mini-clip": "mini-cloc"}
"""The prompter that densevl brings for an encoder."""


def torch_dtype(dtype: str | torch.dtype) -> torch.dtype:
    """The dtype of weights, by its name or as torch has it.

    Raises:
        UsageError: where the name is another than ``"float32"``, ``"bfloat16"`` and ``"float16"``.
    """
    if isinstance(dtype, str) and dtype not in DTYPES:
        raise UsageError(f"dtype must be one of {', '.join(DTYPES)}; got {dtype!r}")
    return DTYPES[dtype] if isinstance(dtype, str) else dtype


def with_weights(encoder: Mapping[str, Any], weights: str) -> dict[str, Any]:
    """The settings of an encoder with other weights of the same architecture.

    Args:
        encoder: its settings.
        weights: a name of the weights table, the path of a file, or ``random:SEED`` for weights that mean nothing.

    Raises:
        UsageError: where the seed is no number.
    """
    arch = encoder.get("arch")
    if arch is None and encoder.get("weights") in weights_table():
        entry = weights_entry(encoder["weights"])
        arch = entry.arch or entry.kind
    if weights.partition(":")[0] == "random":
        seed = weights.partition(":")[2] or "0"
        if not seed.isdecimal():
            raise UsageError(f"write random weights as random:SEED, such as random:0; got {weights!r}")
        return {"type": "random-clip", "arch": arch, "seed": int(seed)}
    return {**encoder, "weights": weights, "arch": None if weights in weights_table() else arch}


def offline_settings(part: Any) -> Any:
    """Settings that reach for no network where they, or settings inside them, name weights; other parts as they are."""
    if isinstance(part, list | tuple):
        return [offline_settings(value) for value in part]
    if not isinstance(part, Mapping):
        return part
    inner = {key: offline_settings(value) for key, value in part.items()}
    named = isinstance(part.get("weights"), str | Path)
    return {**inner, "offline": True} if named else inner


def with_prompter(embedder: Any, prompter: str | Path | None, weights: str | None = None) -> Any:
    """The settings of a region embedder with another prompter.

    Args:
        embedder: its settings; of another kind than a prompter, it is returned as it is where none is given.
        prompter: a file or a name, or ``random:SEED``; None for its own.
        weights: those that its encoder was given. The prompter must be trained on them: where it is not given, that of
            ``mini-clip`` is ``mini-cloc``, and that of ``random:SEED`` is random too.

    Raises:
        UsageError: where a prompter is given and the embedder takes none, or there is none for one that needs it.
    """
    prompts = isinstance(embedder, Mapping) and embedder.get("type") == "prompter"
    if prompter is not None and not prompts:
        raise UsageError(f"prompter {str(prompter)!r}: the regions of this model are not embedded by a prompter")
    if prompts and prompter is None and weights is not None:
        prompter = weights if weights.partition(":")[0] == "random" else OWN_PROMPTERS.get(weights)
    if not prompts or (prompter is None and embedder.get("prompter") is not None):
        return embedder
    if prompter is None:
        raise UsageError(
            "there is no prompter: no weights of CLOC are public; give prompter=FILE, that of a training of yours "
            "(configs/cloc_train_*.py), or weights=mini-clip, which brings one that knows drawn scenes alone"
        )
    return {**embedder, "prompter": prompter}
