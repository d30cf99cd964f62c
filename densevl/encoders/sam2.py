"""SAM 2's models with their weights (Ravi et al., ICLR 2025), through transformers, an extra."""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import torch

from densevl.core.errors import UsageError, WeightsError, first_line
from densevl.weights import fetch_folder, is_offline

try:
    from transformers import Sam2ImageProcessor, Sam2Model
except ImportError as error:
    raise UsageError("SAM 2 needs transformers 4.56 or later; install it: pip install 'densevl[detect]'") from error

__all__ = ["OpenedSam2", "Sam2ImageProcessor", "Sam2Model", "open_sam2", "sam2_digest"]


class OpenedSam2(NamedTuple):
    """A SAM 2 model of transformers, in float32 on the CPU.

    Attributes:
        model: with its weights.
        short: the last part of what it was named by.
        model_id: identity of the model and its weights.
    """

    model: Sam2Model
    short: str
    model_id: str


def open_sam2(
    weights: str | Path = "facebook/sam2.1-hiera-tiny", revision: str | None = None, *, offline: bool = False
) -> OpenedSam2:
    """A SAM 2 of named weights.

    Args:
        weights: a repository on the hub (``facebook/sam2.1-hiera-`` with ``tiny``, ``small``, ``base-plus`` or
            ``large``), or a folder with ``config.json`` and ``model.safetensors``.
        revision: commit of the repository.
        offline: never reach for the network.

    Raises:
        WeightsError: where the model cannot be had, or is no SAM 2.
    """
    folder = fetch_folder(weights, revision, offline=offline)
    place: dict[str, Any] = {"revision": revision or "main", "local_files_only": is_offline(offline)}
    try:
        loaded: Any = Sam2Model.from_pretrained(
            folder or weights,
            **(place if folder is None else {}),
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise WeightsError(
            f"SAM 2 cannot be loaded from {weights}: {first_line(error)}; fetch config.json and model.safetensors of a "
            "repository such as facebook/sam2.1-hiera-tiny into a folder, and name the folder; or bring those of the "
            "default here with `densevl fetch sam2`"
        ) from error
    model, notes = loaded
    absent = sorted(notes["missing_keys"]) + sorted(notes["mismatched_keys"])
    if absent:
        raise WeightsError(f"{weights} is no complete SAM 2: {len(absent)} weights are missing, such as {absent[0]}")
    short = str(weights).rstrip("/").rsplit("/", 1)[-1]
    return OpenedSam2(model, short, f"{short}@{sam2_digest(model)[:12]}")


def sam2_digest(model: Sam2Model) -> str:
    """Hash of all weights, by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
