"""Ways to clean a text before it is tokenised, as open_clip's tokenizers do it."""

import html
import string
from collections.abc import Callable, Mapping

__all__ = ["CLEANING"]

PUNCTUATION = str.maketrans("", "", string.punctuation)


def _mended(text: str) -> str:
    """Broken Unicode and HTML are mended."""
    import ftfy  # only where a text is read

    return html.unescape(html.unescape(ftfy.fix_text(text))).strip()


def _whitespace(text: str) -> str:
    """Mended, with one blank between words."""
    return " ".join(_mended(text).split())


def _lower(text: str) -> str:
    """The same in lower case."""
    return _whitespace(text).lower()


def _canonicalize(text: str) -> str:
    """Mended, without punctuation, in lower case, as SigLIP reads texts."""
    return " ".join(_mended(text).replace("_", " ").translate(PUNCTUATION).lower().split())


CLEANING: Mapping[str, Callable[[str], str]] = {
    "lower": _lower,
    "whitespace": _whitespace,
    "canonicalize": _canonicalize,
    "none": str,
}
"""Ways by name. Three are open_clip's, and all of them mend broken Unicode and HTML; the fourth leaves a text alone."""
