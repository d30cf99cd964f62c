"""How names are compared, cut out of lists and suggested."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["literal", "normalised", "shortened", "split_unescaped", "suggestion"]

MOST_LISTED = 20
"""Names in a message; longer lists hide what it says."""


def normalised(word: str) -> str:
    """What two spellings of the same name have in common: neither case nor the amount of white space."""
    return " ".join(word.split()).casefold()


def split_unescaped(text: str, separators: str) -> list[str]:
    """Cut at each separator that has no backslash before it; the escapes stay in the parts."""
    parts = [""]
    for token in re.findall(r"\\[,|#\\]|.", text, re.DOTALL):
        if token in separators:
            parts.append("")
        else:
            parts[-1] += token
    return parts


def literal(text: str) -> str:
    """The text with each escaped comma, bar, hash or backslash as itself."""
    return re.sub(r"\\([,|#\\])", r"\1", text)


def shortened(text: str, most: int = 120) -> str:
    """The beginning of a text, for a message."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def suggestion(name: str, known: Iterable[str]) -> str:
    """The end of an error message about an unknown name: what was probably meant, and what there is."""
    names = tuple(known)
    close = get_close_matches(name, names, n=3, cutoff=0.5)
    listed = ", ".join(names[:MOST_LISTED]) + (", …" if len(names) > MOST_LISTED else "")
    if not close:
        return f"there are {listed}"
    meant = f"did you mean {' or '.join(close)}?"
    return f"{meant} There are {listed}" if len(names) <= MOST_LISTED else meant
