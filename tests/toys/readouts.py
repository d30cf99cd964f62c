"""Readouts for towers of a few blocks, and texts for those that read them."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from toys.guides import AttentionGuide, ColourGuide

from densevl.core.features import TextEmbeddings
from densevl.core.vocabulary import Vocabulary

FITTED: dict[str, dict[str, Any]] = {
    "cass": {"heads": 2, "rank": 2},
    "clip-surgery": {"blocks": 1},
    "corrclip": {"layers": 1},
    "cliptrase": {"eps": 0.1, "min_samples": 1},
    "gem": {"blocks": 1},
    "radseg": {"splice": False},
    "resclip": {"blocks": (1,), "threshold": 0.0, "steps": 2},
    "sc-clip": {"middle": 1, "early": 1, "summed": (0, 1)},
    "sfp": {"middle": 1, "early": 1, "summed": (0, 1)},
}
"""Settings by readout: the published ones name blocks that small towers have not."""

GUIDED = ("cass", "corrclip", "gla-clip", "lavg", "proxyclip", "trident")
"""Readouts that need a guide."""

SPLICED = ("trident",)
"""Readouts that make one map of all windows of an image."""


def fitted(readout: str) -> dict[str, Any]:
    """The config of a readout that works with any number of blocks, with a guide where it needs one."""
    guide = {"guide": ColourGuide()} if readout in GUIDED else {}
    attention = {"sam": AttentionGuide((5, 7))} if readout == "trident" else {}
    return {"type": readout, **guide, **attention, **FITTED.get(readout, {})}


def some_texts(encoder: Any) -> TextEmbeddings:
    """Three classes of an encoder, at random."""
    vectors = torch.randn(3, encoder.dim, generator=torch.Generator().manual_seed(4))
    vectors = F.normalize(vectors, dim=1).to(encoder.device)
    return TextEmbeddings(vectors, torch.arange(3), Vocabulary.parse("a, b, c"), encoder.model_id, "none")


def asked(dense: Any, images: Tensor) -> dict[str, Any]:
    """What a dense encoder needs beside images: texts, their places one above the other, and regions."""
    count, _, height, width = images.shape
    places = torch.arange(height, device=images.device)[:, None] + torch.arange(width, device=images.device)
    given: dict[str, Any] = {
        "texts": some_texts(dense.encoder),
        "windows": [(0, i * height, width, (i + 1) * height) for i in range(count)],
        "regions": (places * 5 // (height + width) - 1).expand(count, -1, -1),
    }
    return {name: value for name, value in given.items() if getattr(dense.needs, name)}
