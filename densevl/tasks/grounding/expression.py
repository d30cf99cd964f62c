"""Referring expressions taken apart: what is meant, how it lies among its like, and to what else.

"the left dog under the big table" becomes the phrase ``dog``, the superlative ``left`` and the relation ``below`` to
the phrase ``big table``. Words and patterns alone decide, from the lists of ``data/expression_words.json``; nothing is
downloaded and nothing is learned.

Source: the relations and superlatives of ReCLIP (Subramanian et al., ACL 2022, https://arxiv.org/abs/2204.05991), whose
code reads them off spaCy's dependency tree. Differences: no tree, so a landmark ends at a comma or where "and" begins
another relation, and a relation behind a landmark is the landmark's; words of place are taken out of the phrase, since
an image-text model is asked for the phrase alone; "in front of" and "behind" stay words of the phrase, where ReCLIP
takes them for below and above; "middle" and "second from left" are known. What is not understood stays in the phrase.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from densevl.core.errors import UsageError
from densevl.tasks.grounding.phrase import Phrase, Relation, Superlative
from densevl.tasks.grounding.word_lists import WordLists, word_lists

__all__ = ["clean_words", "parse_expression", "plain_words"]


def parse_expression(text: str) -> Phrase:
    """Take an English expression apart.

    Raises:
        UsageError: where the expression is empty.
    """
    words = _Words.load()
    return _phrase(words.lists.kept.sub(lambda match: match[0].replace(" ", "_"), plain_words(text)), words)


def plain_words(text: str) -> str:
    """An expression in lower case, its words and commas one space apart.

    Raises:
        UsageError: where no word is left.
    """
    spaced = re.sub(r"\bw/(?!o)", "with ", text.lower()).replace("’", "'").replace(",", " , ")
    plain = " ".join(re.sub(r"[_\"“”()\[\].;:!?]", " ", spaced).split())
    if not re.search(r"\w", plain):
        raise UsageError(f"the expression {text!r} names nothing; say what to look for, such as 'the left dog'")
    return plain


@dataclass(frozen=True)
class _Words:
    """The patterns that are made of the lists; a match of ``relation``, ``place`` … is looked up in the tables."""

    lists: WordLists
    relation: re.Pattern[str]
    not_landmark: re.Pattern[str]
    counted: re.Pattern[str]
    place: re.Pattern[str]
    part_of: re.Pattern[str]
    direction: re.Pattern[str]

    @staticmethod
    @cache
    def load() -> "_Words":
        lists = word_lists()
        direction, part, picture = _any(lists.superlatives), _any(lists.parts), _any(lists.picture)
        directions = rf"{direction}(?:(?:\s+|-|\s+and\s+){direction})*"
        end = rf"(?:[- ]hand)?(?:\s+(?:most\s+)?{part})?"
        group = _any(lists.groups)
        # "on the right", "far left", "in the bottom left corner of the picture"; not "left of the car".
        place = (
            rf"(?:(?P<preposition>in|on|at|to|from|towards?)\s+)?(?:the\s+)?{_STEPS}\b(?P<words>{directions})\b(?:"
            rf"(?P<whole>{end}\s+of\s+(?:the\s+|this\s+)?(?:{picture}|{group})\b)|"
            rf"(?!{end}\s+(?:of|than|from)\b)(?:[- ]hand)?(?P<part>\s+{part}\b)?)"
        )
        inside = rf"in(?=\s+(?:an?|the)\s+(?:\w+\s+){{0,2}}?{_any(lists.containers)}\b)"
        return _Words(
            lists,
            relation=re.compile(
                rf"(?:\b(?:that|which|who)\b\s*)?(?:(?:'s|\b(?:is|are|was|were|standing|sitting))\s+)?{_ADVERBS}"
                r"(?:\b(?:on|to|at|in|from)\s+)?(?:\bthe\s+)?(?:\b(?:far|immediate|very)\s+)?"
                rf"\b(?P<relation>{_any(lists.relations)}|{inside})\s+(?=\w)"
            ),
            not_landmark=re.compile(rf"(?:the\s+|this\s+)?(?:{picture}|{group})\b"),
            counted=re.compile(
                rf"\b(?P<order>{_any(lists.ordinals)})\b(?P<noun>[\w\s-]*?)\s+(?:from|to|on|in|at)\s+(?:the\s+)?"
                rf"{_STEPS}(?P<words>{direction})\b(?!\s+of\b)(?:[- ]hand)?(?:\s+{part}\b)?"
            ),
            place=re.compile(place),
            part_of=re.compile(
                rf"^(?:the\s+)?(?P<words>{directions})(?:(?<!left)(?<!right)|(?:[- ]hand)?\s+{part})\s+of\s+(?=\w)"
            ),
            direction=re.compile(direction),
        )


_ADVERBS = r"(?:\b(?:right|just|directly|immediately|slightly|far|way|located|positioned)\s+)?"
_STEPS = r"(?:(?:all\s+the\s+way|way|far|very|extreme|furthest|farthest)\s+(?:(?:to|on|in|at)\s+)?(?:the\s+)?)?"
_FUNCTION = re.compile(
    r"\b(?:in|on|at|by|near|with|without|wearing|holding|of|from|to|behind|next|beside|has|have|having|who|that|which|"
    r"whose|is|are|and|over|facing|looking|walking|standing|sitting|his|her|its|their|my|your)\b"
)
_POSSESSED = re.compile(r"\b(?:his|her|its|their|my|your|\w+'s)\s*$")
_LEADING = re.compile(r"^(?:(?:the|an?|that|this|these|those|and|,|is|are|of)\s+)+")
_TRAILING = re.compile(r"(?:(?:^|\s+)(?:the|an?|that|which|who|is|are|on|in|at|of|to|from|and|,|'s))+$")


def _any(words: Iterable[str]) -> str:
    """A pattern of any of the words, the longest first."""
    return "(?:" + "|".join(map(re.escape, sorted(words, key=len, reverse=True))) + ")"


def _phrase(text: str, words: _Words) -> Phrase:
    head, relations = _split(text, words)
    superlatives: list[Superlative] = []
    start = words.part_of.match(head)
    if start is not None:  # "the left side of the sandwich", with nothing before it: the left one
        superlatives += _kinds(start["words"], words)
        head = head[start.end() :]

    def take_counted(match: re.Match[str]) -> str:
        superlatives.append(Superlative(words.lists.superlatives[match["words"]], words.lists.ordinals[match["order"]]))
        return match["noun"] + " "

    def take_place(match: re.Match[str]) -> str:
        if not _is_place_of_head(match):
            return match[0]
        superlatives.extend(_kinds(match["words"], words))
        return " "

    head = words.place.sub(take_place, words.counted.sub(take_counted, head))
    return Phrase(clean_words(head), tuple(dict.fromkeys(superlatives)), tuple(relations))


def _split(text: str, words: _Words) -> tuple[str, list[Relation]]:
    """The text without its relations, and these."""
    for match in words.relation.finditer(text):
        kind = words.lists.relations.get(match["relation"], "inside")
        head, rest = text[: match.start()], text[match.end() :]
        if words.not_landmark.match(rest) or (not clean_words(head) and words.part_of.match(text)):
            continue
        landmark, behind = _landmark(rest, words, kind)
        pair = re.split(r"\s+and\s+", landmark, maxsplit=1) if kind == "between" else [landmark]
        if kind == "between" and len(pair) < 2:
            continue
        relation = Relation(kind, tuple(_phrase(part, words) for part in pair))
        head, others = _split(f"{head} {behind}", words)
        return head, [relation, *others]
    return text, []


def _landmark(rest: str, words: _Words, kind: str) -> tuple[str, str]:
    """The words of the landmark, and what is said of the head behind it."""
    landmark, comma, behind = rest.partition(" , ")
    for joint in re.finditer(r"\s+and\s+", landmark):
        if words.relation.match(landmark, joint.end()):
            return landmark[: joint.start()], f"{landmark[joint.end() :]}{comma}{behind}"
    return landmark, f"{comma}{behind}"


def _is_place_of_head(match: re.Match[str]) -> bool:
    """True where words of place say where the thing is, not which hand it lifts or which lane it is on."""
    before, after = match.string[: match.start()], match.string[match.end() :].strip()
    if match["whole"] or (match["part"] and match["preposition"]):
        return True
    if _POSSESSED.search(before):
        return False
    if not after or after.startswith(",") or _FUNCTION.match(after):
        return True
    said = before.rpartition(" , ")[2]
    return match["preposition"] is None and _FUNCTION.search(said) is None


def _kinds(text: str, words: _Words) -> list[Superlative]:
    return [Superlative(words.lists.superlatives[word]) for word in words.direction.findall(text)]


def clean_words(text: str) -> str:
    """The words of a phrase without loose ends; empty where they name nothing in particular."""
    text = re.sub(r"(?:\s+,)+", " ,", " ".join(text.split()))
    text = _LEADING.sub("", _TRAILING.sub("", text).removeprefix(", ") + " ").strip()
    text = text.replace(" ,", ",").replace("_", " ")
    return "" if text in word_lists().anything or not re.search(r"\w", text) else text
