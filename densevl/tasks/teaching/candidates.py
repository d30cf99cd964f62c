"""The feature stacks among which teaching with masks chooses, by encoder: rows of ``data/stacks.json``.

A row says the settings of a stack outright, or relative to the encoder: blocks by their depth as a fraction, the short
side in multiples of the side that the encoder was trained with, seen in windows of that side.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from densevl.core.files import read_json
from densevl.dense.stack import FEATURES, FeatureStack
from densevl.encoders.contracts import Encoder

__all__ = ["candidate_stacks"]

FILE = Path(__file__).parents[2] / "data" / "stacks.json"

STEP = 0.75
"""Step between windows as a fraction of their side."""


def candidate_stacks(encoder: Encoder, positions: str = "size", border: str = "black") -> tuple[FeatureStack, ...]:
    """The stacks to choose from, cheapest first.

    Args:
        encoder: whose maps they stack; the row is that of the longest beginning of its ``model_id``.
        positions: how a position embedding is resized.
        border: what becomes of sides that are no multiple of the patch.
    """
    table = _table()
    key = max((key for key in table if encoder.model_id.startswith(key)), key=len)
    rows = [row if "maps" in row else _of_encoder(row, encoder) for row in table[key]]
    return tuple(FeatureStack(**row, positions=positions, border=border) for row in rows)


@cache
def _table() -> dict[str, list[Mapping[str, Any]]]:
    return {key: rows for key, rows in read_json(FILE).items() if key != "source"}


def _of_encoder(row: Mapping[str, Any], encoder: Encoder) -> dict[str, Any]:
    """The settings of a row for an encoder; a block that two depths share counts once, and the last block never."""
    blocks = [max(0, round(depth * encoder.depth) - 1) for depth in row["depths"]]
    maps = [f"blocks.{block}" for block in dict.fromkeys(blocks) if block < encoder.depth - 1]
    side = min(encoder.image_size)
    return {
        "maps": (*maps, *([FEATURES] if row["features"] else [])),
        "stride": encoder.patch_size,
        "short_side": side * row["size"],
        "window": side,
        "window_stride": max(1, int(side * STEP)),
    }
