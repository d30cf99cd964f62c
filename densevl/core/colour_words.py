"""The colour that a name suggests: a colour word in it, what it is made of, or what it names.

"blue circle" is blue, "a brick wall" looks like bricks, "tall grass" is green; "cat" suggests nothing. A colour word
counts wherever it stands, a material only before the first preposition, a thing only where it is what the name names:
a water bottle is not blue, nor is a person on grass green.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from densevl.core.files import read_json

__all__ = ["colour_data", "suggested"]

Colour = tuple[int, int, int]

_PREPOSITIONS = frozenset(
    ("at", "behind", "beside", "by", "for", "from", "in", "near", "of", "on", "over", "under", "with", "without")
)


@cache
def colour_data() -> Mapping[str, Any]:
    """The lists of ``data/colours.json``."""
    data: Mapping[str, Any] = read_json(Path(__file__).parents[1] / "data" / "colours.json")
    return data


def suggested(names: Sequence[str]) -> Colour | None:
    """The RGB colour that the first of the names suggests that suggests any; None where none does.

    Args:
        names: the synonyms of a class.
    """
    return next((colour for name in names if (colour := _of_name(name)) is not None), None)


def _of_name(name: str) -> Colour | None:
    data, words = colour_data(), re.findall(r"[^\W\d_]+", name.casefold())
    for place, word in enumerate(words):
        colour = data["colours"].get(" ".join(words[place : place + 2])) or data["colours"].get(word)
        if colour is not None:
            return _shaded(colour, data["shades"].get(words[place - 1], 0.0) if place else 0.0)
    named = next((words[:i] for i, word in enumerate(words) if i and word in _PREPOSITIONS), words)
    material = next((word for word in named if word in data["materials"]), None)
    thing = next((form for form in _singulars(named[-1]) if form in data["things"]), None) if named else None
    colour = data["materials"].get(material) or data["things"].get(thing)
    return None if colour is None else _shaded(colour, 0.0)


def _singulars(word: str) -> list[str]:
    """The word, and what it may be the plural of."""
    stems = [word, word.removesuffix("s"), word.removesuffix("es")]
    return [*stems, word[:-3] + "y"] if word.endswith("ies") else stems


def _shaded(colour: Sequence[int], amount: float) -> Colour:
    """A colour moved towards white (amount above zero) or black, by this fraction of the way."""
    red, green, blue = (round(value + abs(amount) * ((255 if amount > 0 else 0) - value)) for value in colour)
    return red, green, blue
