"""Region texts as GRIT writes them (Peng et al., Kosmos-2, https://arxiv.org/abs/2306.14824; GRIT-20M).

A record is a JSON of ``caption``, ``width``, ``height``, ``noun_chunks`` and ``ref_exps``; each entry of the last two
is [start, end, x0, y0, x1, y1, score]: the characters of the caption that name the thing, and its box as fractions
of the width and the height. img2dataset puts it beside the image and the caption into WebDataset tars.

A referring expression ("a dog on the grass") begins with the noun chunk that it enlarges ("a dog"), with the same box.
Here each box comes once, with the longer words.
"""

from collections.abc import Mapping
from typing import Any

from densevl.core.errors import UsageError
from densevl.datasets.region_texts.record import RegionText

__all__ = ["grit_regions"]


def grit_regions(content: Mapping[str, Any], size: tuple[int, int]) -> tuple[RegionText, ...]:
    """The region texts of a record of GRIT, in pixels; what is empty, or not finite, is left out.

    Args:
        content: with ``caption``, ``noun_chunks`` and ``ref_exps``.
        size: (height, width) of the image; boxes are cut there.

    Raises:
        UsageError: where an entry is no seven numbers.
    """
    caption = content.get("caption") or ""
    # The longer words first: of one box those count.
    found: dict[tuple[float, ...], RegionText] = {}
    for entry in [*(_entries(content.get("ref_exps"))), *_entries(content.get("noun_chunks"))]:
        item = _region(entry, caption, size)
        if item is not None:
            found.setdefault(item.box, item)
    return tuple(found.values())


def _entries(value: Any) -> list[Any]:
    return [] if value is None else list(value)


def _region(entry: Any, caption: str, size: tuple[int, int]) -> RegionText | None:
    try:
        start, end, *fractions, score = map(float, entry)
        x0, y0, x1, y1 = fractions
        text = caption[int(start) : int(end)].strip()
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"expected [start, end, x0, y0, x1, y1, score]; got {entry!r:.80}") from None
    height, width = size
    box = _cut(x0, width), _cut(y0, height), _cut(x1, width), _cut(y1, height)
    return RegionText(box, text, score) if text and box[0] < box[2] and box[1] < box[3] else None


def _cut(fraction: float, side: int) -> float:
    """Pixels of a fraction of a side; what is not a number becomes 0, and its box empty."""
    return min(max(fraction, 0.0), 1.0) * side if fraction == fraction else 0.0
