"""Templates of the names of tensors, read and filled."""

import re
from collections.abc import Iterable, Mapping
from functools import cache

__all__ = ["Template"]

HOLE = re.compile(r"\{([a-z]+)\}")
NUMBERS, ANYTHING = ("i", "j"), "rest"


class Template:
    """A name with holes: ``{i}`` and ``{j}`` are numbers, ``{rest}`` is anything, every other is one part of a name.

    Args:
        text: such as ``"visual.blocks.{i}.norm1.{name}"``.
    """

    def __init__(self, text: str) -> None:
        self.text = text

    def matches(self, name: str) -> bool:
        """True where a name is one of the template's."""
        return self.read(name) is not None

    def read(self, name: str) -> dict[str, str] | None:
        """What stands in the holes of a name; None where it is none of the template's."""
        match = _pattern(self.text).fullmatch(name)
        return None if match is None else match.groupdict()

    def among(self, names: Iterable[str]) -> list[tuple[str, dict[str, str]]]:
        """The names that are the template's, each with what stands in its holes."""
        return [(name, holes) for name in names if (holes := self.read(name)) is not None]

    def fill(self, holes: Mapping[str, str]) -> str:
        """The name with holes filled."""
        return HOLE.sub(lambda match: holes[match[1]], self.text)


@cache
def _pattern(text: str) -> re.Pattern[str]:
    literal, *others = HOLE.split(text)
    pattern, seen = re.escape(literal), set[str]()
    for hole, literal in zip(others[::2], others[1::2], strict=True):
        kind = r"\d+" if hole in NUMBERS else ".+" if hole == ANYTHING else r"[^.]+"
        pattern += (f"(?P={hole})" if hole in seen else f"(?P<{hole}>{kind})") + re.escape(literal)
        seen.add(hole)
    return re.compile(pattern)
