"""English nouns in phrases: the one that a phrase is about, and the singular of a plural."""

import re

from densevl.tasks.grounding.word_lists import WordLists

__all__ = ["head_noun", "singular"]

_AFTER_NOUN = re.compile(
    r",|\b(?:in|on|at|by|near|with|without|wearing|holding|of|from|to|behind|beside|has|have|having|who|that|which|"
    r"whose|is|are|and|over|under|'s)\b|(?<=s )\w+(?:ing|ed)\b|(?<=men )\w+(?:ing|ed)\b|\w+_\w+"
)
"""What ends the noun phrase at the beginning of a text."""


def head_noun(text: str) -> re.Match[str] | None:
    """The last word before anything is said of the thing: "dogs" in "dogs with hats"; None where there is none."""
    end = _AFTER_NOUN.search(text)
    words = list(re.finditer(r"[\w'-]+", text[: end.start() if end else len(text)]))
    return words[-1] if words else None


def singular(noun: str, lists: WordLists) -> str | None:
    """The singular of a plural; None of a word that is none."""
    if noun in lists.irregular:
        return lists.irregular[noun]
    if noun in lists.singular or len(noun) < 4 or not noun.endswith("s") or re.search(r"(?:ss|us|is|'s)$", noun):
        return None
    if noun.endswith("ies"):
        return f"{noun[:-3]}y"
    return noun[:-2] if re.search(r"(?:ss|x|ch|sh|zz|o)es$", noun) else noun[:-1]
