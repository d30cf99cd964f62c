"""Loading detectors of transformers: safetensors and tokenizer files alone, from a hub or from a folder."""

from pathlib import Path
from typing import Any

import torch

from densevl.core.errors import UsageError, WeightsError

try:
    import transformers
except ImportError as error:
    raise UsageError("detectors need transformers; install it: pip install 'densevl[detect]'") from error

__all__ = ["load_parts", "load_pretrained"]


def load_pretrained(
    kind: str, weights: str | Path, revision: str | None, offline: bool, example: str
) -> tuple[torch.nn.Module, Any]:
    """A model of transformers in float32 for inference, and its processor.

    Args:
        kind: start of the names of both classes, such as ``"Owlv2"``.
        weights: a repository on the hub, or a folder.
        revision: commit of the repository.
        offline: never reach for the network.
        example: a repository that would do, for the message.

    Raises:
        WeightsError: where they cannot be had, or weights are missing.
    """
    return load_parts(f"{kind}ForObjectDetection", f"{kind}Processor", weights, revision, offline, example)


def load_parts(
    model_class: str, processor_class: str, weights: str | Path, revision: str | None, offline: bool, example: str
) -> tuple[torch.nn.Module, Any]:
    """As :func:`load_pretrained`, for any classes of transformers.

    Args:
        model_class: name of the model's class.
        processor_class: name of its processor's class.
        weights: a repository on the hub, or a folder.
        revision: commit of the repository.
        offline: never reach for the network.
        example: a repository that would do, for the message.

    Raises:
        WeightsError: where they cannot be had, or weights are missing.
    """
    kind = model_class.removesuffix("ForObjectDetection")
    place = {"revision": revision or "main", "local_files_only": offline}
    try:
        model, notes = getattr(transformers, model_class).from_pretrained(
            weights, use_safetensors=True, output_loading_info=True, **place
        )
        processor = getattr(transformers, processor_class).from_pretrained(weights, **place)
    except (OSError, ValueError, RuntimeError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise WeightsError(
            f"{kind} cannot be loaded from {weights}: {reason}; fetch config.json, model.safetensors and the files of "
            f"processor and tokenizer of a repository such as {example} into a folder, and name the folder"
        ) from error
    absent = sorted(notes["missing_keys"]) + sorted(notes["mismatched_keys"])
    if absent:
        raise WeightsError(f"{weights} is no complete {kind}: {len(absent)} weights are missing, such as {absent[0]}")
    return model.float().eval().requires_grad_(False), processor
