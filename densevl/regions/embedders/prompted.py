"""Regions embedded by CLOC's prompter, and the file that a trained prompter lies in."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from safetensors.torch import save
from torch import nn

from densevl.core.delta import before_tuning
from densevl.core.errors import UsageError, WeightsError
from densevl.core.files import atomic_write, parse_json
from densevl.core.regions import RegionEmbeddings, Regions
from densevl.core.registry import build
from densevl.encoders import ENCODERS
from densevl.encoders.contracts import Encoder
from densevl.regions.embedders.embedder import RegionEmbedder
from densevl.regions.embedders.promptable import HINTS, PromptableCLIP
from densevl.regions.embedders.prompter import Prompter
from densevl.weights import check_state_dict
from densevl.weights.opened import open_weights, random_seed

__all__ = ["NO_PROMPTER", "PromptedRegions", "load_prompter", "save_prompter"]

NO_PROMPTER = (
    "there is no prompter: no weights of CLOC are public; give prompter=FILE, that of a training of yours "
    "(configs/cloc_train_*.py), or weights=mini-clip prompter=mini-cloc, which know drawn scenes alone"
)
"""The error where a prompter is missing, with its cure."""


class PromptedRegions(nn.Module, RegionEmbedder):
    """Embeds regions by their boxes or masks with a prompter, in one pass of the ViT for all regions of an image.

    Args:
        encoder: the CLIP that the prompter was trained on; built, or a config.
        prompter: a :class:`densevl.regions.embedders.prompter.Prompter`, or the file of one, or ``random:SEED`` for one
            that has learned nothing.
        hint: ``"box"``, or ``"mask"``.
        side: of the padded images in pixels; None for what the prompter was trained on or, where it does not say, the
            encoder.

    Attributes:
        encoder: encoder and prompter together, so that texts carry the identity of both.

    Raises:
        UsageError: where encoder and prompter do not belong together, or an argument has no meaning.
        WeightsError: where the file is missing, damaged or no prompter.
    """

    def __init__(
        self, encoder: Encoder | Mapping[str, Any], prompter: Any, hint: str = "box", side: int | None = None
    ) -> None:
        super().__init__()
        if hint not in HINTS:
            raise UsageError(f"hint must be one of {', '.join(HINTS)}; got {hint!r}")
        clip: Encoder = build(ENCODERS, encoder)
        self.hint = hint
        self.encoder = PromptableCLIP(clip, _built(prompter, clip), side).eval()
        self.untrained = str(prompter).startswith("random:")

    @property
    def needs_masks(self) -> bool:
        """True where boxes alone are not enough."""
        return self.hint == "mask"

    @property
    def protocol(self) -> dict[str, Any]:
        """Everything that decides a vector, for reports: JSON values only."""
        settings = self.encoder.prompter.settings
        return {
            "type": "prompter",
            "encoder": self.encoder.model_id,
            "prompter": settings,
            "hint": self.hint,
            "side": self.encoder.side,
            **({"weights": "prompter@random"} if self.untrained else {}),
        }

    def embed(self, image: UInt8[np.ndarray, "H W 3"], regions: Regions) -> RegionEmbeddings:
        """Embed regions of an image.

        Raises:
            UsageError: where the regions are of another image, or masks are missing.
        """
        return self.embed_batch([image], [regions])[0]

    def embed_batch(
        self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]], regions: Sequence[Regions]
    ) -> list[RegionEmbeddings]:
        """Embed regions of each of several images, in one pass of the ViT for all; errors as of :meth:`embed`."""
        return self.encoder.embed(self.encoder.encode(images), regions, self.hint)


def save_prompter(prompter: Prompter, path: str | Path, encoder_id: str) -> None:
    """Write settings and weights as safetensors, with the identity of the encoder.

    Raises:
        OutputError: where the file cannot be written.
    """
    state = {name: value.detach().contiguous().cpu() for name, value in prompter.state_dict().items()}
    metadata = {"format": "pt", "encoder": encoder_id, "prompter": json.dumps(prompter.settings)}
    with atomic_write(path) as temporary:
        temporary.write_bytes(save(state, metadata))


def load_prompter(path: str | Path, encoder_id: str | None = None) -> Prompter:
    """A prompter in float32 on the CPU, for inference.

    Args:
        path: a file of :func:`save_prompter`, or a name of the weights table.
        encoder_id: identity of the encoder that it shall read, tuned since or not; None to take it for any.

    Raises:
        UsageError: where it was trained on another encoder.
        WeightsError: where the file is missing, damaged or no prompter.
    """
    opened = open_weights(path)
    path, metadata = opened.path, opened.metadata
    try:
        prompter = Prompter(**parse_json(metadata["prompter"]))
    except (KeyError, ValueError, TypeError) as error:
        raise WeightsError(f"{path} does not say how its prompter is built ({error}): it is no prompter") from error
    if encoder_id is not None and metadata.get("encoder") != before_tuning(encoder_id):
        raise UsageError(
            f"the prompter {path} was trained on {metadata.get('encoder')!r}, not on {encoder_id!r}; take that encoder"
        )
    check_state_dict(opened.state, prompter.state_dict(), path)
    prompter.load_state_dict(opened.state)
    return prompter.eval().requires_grad_(False)


def _built(prompter: Any, encoder: Encoder) -> Prompter:
    if isinstance(prompter, Prompter):
        return prompter
    if prompter is None:
        raise UsageError(NO_PROMPTER)
    seed = random_seed(prompter)
    if seed is None:
        return load_prompter(prompter, encoder.model_id)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Prompter(encoder.width, encoder.dim).eval().requires_grad_(False)
