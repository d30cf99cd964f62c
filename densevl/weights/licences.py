"""Licences of weights: what each asks of those who use them, said before anything is downloaded."""

import json
from functools import cache

from densevl.weights.table import DATA, WeightsEntry

__all__ = ["licence_text", "terms"]

UNKNOWN = "read it before you use them"


@cache
def _known() -> dict[str, str]:
    return dict(json.loads((DATA / "weights.json").read_text(encoding="utf-8"))["licences"])


def terms(licence: str) -> str:
    """What a licence does not allow; empty for one that allows any use.

    Args:
        licence: as a row of the weights table has it.
    """
    return _known().get(licence, UNKNOWN)


def licence_text(entry: WeightsEntry) -> str:
    """One line about the licence of some weights, for people who are about to download them."""
    asked = terms(entry.licence)
    return f"{entry.name}: licence {entry.licence}" + (f" ({asked})" if asked else "")
