"""The dense heads of the field, as ``data/heads.json`` describes them: equation, source, needs, published figures.

A head is known by the name of its model, ``HEAD``, and is tried on scenes by its row on the mini CLIP, ``mini-HEAD``.
The documentation's page of each head and ``python tools/table.py dense`` are made from these entries.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean
from typing import Any

from densevl.api.models import models
from densevl.core.errors import UsageError, suggestion
from densevl.weights.table import DATA

__all__ = ["BASELINE", "BENCHMARKS", "Head", "head_entry", "heads"]

BENCHMARKS = {
    "voc21": "VOC21",
    "context60": "Context60",
    "coco_object": "COCO-Object",
    "voc20": "VOC20",
    "context59": "Context59",
    "coco_stuff": "COCO-Stuff",
    "cityscapes": "Cityscapes",
    "ade20k": "ADE20K",
}
"""Titles of the eight benchmarks of the field, in its order, by name."""

BASELINE = "maskclip"
"""The head whose figures the others are compared with."""

USUAL = "clip-vit-b16-openai"
"""The encoder that most figures are published for."""


@dataclass(frozen=True)
class Head:
    """A dense head: how label maps are read out of an image-text encoder.

    Attributes:
        name: of the head and of its model, with encoder and protocol as published.
        title: as its paper calls it.
        paper: authors, title, where and when it appeared, address.
        reference: the repository and commit of the reference code; empty where there is none.
        licence: of the reference code; empty where it has none.
        equation: what it computes, as plain text of a few lines.
        differs: where densevl differs, and what else to know; a sentence each.
        needs: what it reads beside the image, such as a guide, all windows, or the texts.
        published: mIoU by encoder and by the names of :data:`BENCHMARKS`.
        mini: the model that reads the mini CLIP so; empty where there is none.
        why: the reason where there is no mini model.
    """

    name: str
    title: str
    paper: str
    reference: str
    licence: str
    equation: str
    differs: tuple[str, ...]
    needs: str
    published: Mapping[str, Mapping[str, float]]
    mini: str
    why: str = ""

    @property
    def gain(self) -> float | None:
        """Points of published mIoU over :data:`BASELINE` on the same encoder, the mean of the sets that both have.

        None where no encoder and set was published for both.
        """
        base = heads()[BASELINE].published
        for encoder in (USUAL, *self.published):
            own, other = self.published.get(encoder, {}), base.get(encoder, {})
            both = [own[name] - other[name] for name in BENCHMARKS if name in own and name in other]
            if both:
                return fmean(both)
        return None


def heads() -> dict[str, Head]:
    """All heads by name, in the order of the table."""
    return dict(_table())


def head_entry(name: str) -> Head:
    """The head of a name, or of its mini model.

    Raises:
        UsageError: where there is none.
    """
    for head in _table().values():
        if name in (head.name, head.mini):
            return head
    raise UsageError(f"head {name!r} is unknown; {suggestion(name, _table())}")


@cache
def _table() -> dict[str, Head]:
    rows = json.loads((DATA / "heads.json").read_text(encoding="utf-8"))
    return {name: _head(name, row) for name, row in rows.items()}


def _head(name: str, row: Mapping[str, Any]) -> Head:
    own = f"mini-{name}"
    lists: dict[str, Sequence[str]] = {"differs": tuple(row["differs"])}
    return Head(name=name, **{"mini": own if own in models() else "", **row, **lists})
