"""Hard negatives that say of a thing what is true of another: captions whose attributes swap owners.

FG-OVD (Bianchi et al., CVPR 2024) makes a negative of a true caption by other attributes in the place of some. Which of
them an attribute of something else in the image is, it does not say; here the true captions of the image do.
"""

import re
from collections.abc import Iterable
from difflib import SequenceMatcher

__all__ = ["borrowed", "new_words"]

EMPTY = frozenset(
    {"a", "an", "and", "are", "at", "by", "dark", "for", "from", "in", "is", "its", "light", "made", "material", "of"}
    | {"on", "or", "the", "to", "which", "with"}
)
"""Words that name no attribute by themselves."""


def _words(caption: str) -> list[str]:
    return re.findall(r"[\w-]+", caption.lower())


def new_words(truth: str, negative: str) -> frozenset[str]:
    """The words that a negative has in the place of others of the true caption, or beside them.

    A word that stands elsewhere in the true caption counts: "a red cap" instead of "a blue cap" of a red bottle.
    """
    old, new = _words(truth), _words(negative)
    parts = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return frozenset(word for kind, _, _, start, stop in parts if kind != "equal" for word in new[start:stop]) - EMPTY


def borrowed(truth: str, negative: str, others: Iterable[str]) -> bool:
    """True where a negative says of the thing what is true of another part of it, or of another thing.

    Args:
        truth: true caption of the thing.
        negative: false caption.
        others: true captions of the other things of the image.
    """
    said = {word for caption in (truth, *others) for word in _words(caption)}
    return bool(new_words(truth, negative) & said)
