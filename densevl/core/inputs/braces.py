"""Braces in arguments, as WebDataset writes the names of shards: ``shard-{000000..000099}.tar``."""

import os
import re
from itertools import product
from math import prod

from densevl.core.errors import UsageError

__all__ = ["expand_braces"]

MOST = 1_000_000
"""Names that an argument may stand for."""

BRACES = re.compile(r"(\{\d+\.\.\d+\}|\{[^{}]*,[^{}]*\})")


def expand_braces(argument: str) -> list[str]:
    """The names that an argument stands for: ``{08..11}`` counts, with zeros as written, and ``{train,test}`` lists.

    An argument that is the name of a file, and braces with neither dots nor commas, stand for themselves.

    Raises:
        UsageError: where there are too many.
    """
    if "{" not in argument or os.path.lexists(argument):
        return [argument]
    pieces = BRACES.split(argument)
    choices = [_choices(piece) if i % 2 else [piece] for i, piece in enumerate(pieces)]
    if (count := prod(map(len, choices))) > MOST:
        raise UsageError(f"{argument!r} stands for {count} names, above the limit of {MOST}")
    return ["".join(map(_text, chosen, pieces)) for chosen in product(*choices)]


def _choices(braces: str) -> list[str] | range:
    """What braces list, or the numbers that they count."""
    inner = braces[1:-1]
    if "," in inner:
        return inner.split(",")
    first, last = map(int, inner.split(".."))
    return range(first, last + 1) if first <= last else range(first, last - 1, -1)


def _text(choice: str | int, braces: str) -> str:
    """A choice as a text; a number is as long as the longer of the two where one has zeros in front."""
    if isinstance(choice, str):
        return choice
    ends = braces[1:-1].split("..")
    padded = any(len(end) > 1 and end.startswith("0") for end in ends)
    return f"{choice:0{max(map(len, ends)) if padded else 1}}"
