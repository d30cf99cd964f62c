"""The errors a user meets.

Every message names what was wrong, what was expected and the cure. The command line turns them into exit codes:
2 for :class:`UsageError`, 1 where some of the inputs failed.
"""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "MOST_LISTED",
    "DensevlError",
    "ImageError",
    "OutputError",
    "ShardError",
    "TextTooLong",
    "UsageError",
    "WeightsError",
    "first_line",
    "shortened",
    "suggestion",
]


class DensevlError(Exception):
    """Base of every error that densevl raises on purpose: a message of one line.

    Args:
        message: what the user reads; line breaks in it, as file names may have, become spaces.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(" ".join(str(message).splitlines()))


class UsageError(DensevlError, ValueError):
    """An argument, a vocabulary or a config that cannot be used as given."""


class TextTooLong(UsageError):
    """A text that a text encoder would have to cut.

    Args:
        message: what the user reads.
        tokens: of the text, start and end included.
        context: tokens that the encoder takes.
    """

    def __init__(self, message: str, tokens: int, context: int) -> None:
        super().__init__(message)
        self.tokens, self.context = tokens, context


class ImageError(DensevlError):
    """A file or an array that is not a usable image."""


class WeightsError(DensevlError):
    """A checkpoint that is missing, damaged, unsafe or made for another model."""


class ShardError(DensevlError):
    """A file of region-text records that is cut off, damaged or of no known layout."""


class OutputError(DensevlError):
    """A result that could not be written."""


MOST_LISTED = 20
"""Names in a message; longer lists hide what it says."""


def first_line(error: Exception) -> str:
    """The first line of what another library's error says, or else its kind."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def shortened(text: str, most: int = 120) -> str:
    """The beginning of a text, for a message of one line."""
    text = " ".join(text.splitlines())
    return text if len(text) <= most else f"{text[: most - 3]}..."


def suggestion(name: str, known: Iterable[str]) -> str:
    """The end of an error message about an unknown name: what was probably meant, and what there is."""
    names = tuple(known)
    close = get_close_matches(str(name), names, n=3, cutoff=0.5)
    listed = ", ".join(names[:MOST_LISTED]) + (", …" if len(names) > MOST_LISTED else "")
    if not close:
        return f"there are {listed}"
    meant = f"did you mean {' or '.join(close)}?"
    return f"{meant} There are {listed}" if len(names) <= MOST_LISTED else meant
