"""Referring expressions taken apart: what is meant, how it lies among its like, and to what else.

"the left dog under the big table" becomes the phrase ``dog``, the superlative ``left`` and the relation ``below`` to
the phrase ``big table``. Words and patterns alone decide, from the lists of ``data/expression_words.json``; nothing is
downloaded and nothing is learned. There are two parsers:

* :func:`parse_expression` reads everything that boxes decide, nearness and counts included. What boxes do not decide
  ("behind the sofa", "facing left", "without a hat", "older") stays in the phrase and is listed as not understood.
* :func:`parse_reclip` reads the relations and superlatives of ReCLIP alone, for published figures. What it does not
  know stays in the phrase.

Source: the relations and superlatives of ReCLIP (Subramanian et al., ACL 2022, https://arxiv.org/abs/2204.05991), whose
code reads them off spaCy's dependency tree. Differences: no tree, so a landmark ends at a comma or where "and" begins
another relation, and a relation behind a landmark is the landmark's; words of place are taken out of the phrase, since
an image-text model is asked for the phrase alone; "in front of" and "behind" stay words of the phrase, where ReCLIP
takes them for below and above; "middle" and "second from left" are known.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache

from densevl.core.errors import UsageError, shortened
from densevl.tasks.grounding.nouns import head_noun, singular
from densevl.tasks.grounding.phrase import Phrase, Relation, Superlative
from densevl.tasks.grounding.word_lists import WordLists, word_lists

__all__ = ["parse_expression", "parse_reclip", "plain_words"]

MOST_WORDS = 500
"""Words of an expression; no text encoder takes as many."""

DEEPEST = 20
"""Relations of landmarks to further landmarks, "the cup on the plate under the lamp" having one."""


def parse_expression(text: str) -> Phrase:
    """Take an English expression apart.

    Raises:
        UsageError: where the expression is no text or empty.
    """
    return _Reading(_Words.load("rules")).expression(text)


def parse_reclip(text: str) -> Phrase:
    """Take an English expression apart by the relations and superlatives of ReCLIP alone.

    Raises:
        UsageError: where the expression is no text or empty.
    """
    return _Reading(_Words.load("reclip")).expression(text)


def plain_words(text: str) -> str:
    """An expression in lower case, its words and commas one space apart.

    Raises:
        UsageError: where it is no text, no word is left, or there are too many of them.
    """
    if not isinstance(text, str):
        raise UsageError(f"an expression is a text, such as 'the left dog'; got {shortened(repr(text))}")
    spaced = re.sub(r"\bw/(?!o)", "with ", text.lower()).replace("’", "'").replace(",", " , ")
    plain = " ".join(re.sub(r"[_\"“”()\[\].;:!?]", " ", spaced).split())
    if not re.search(r"\w", plain):
        raise UsageError(f"the expression {text!r} names nothing; say what to look for, such as 'the left dog'")
    if plain.count(" ") >= MOST_WORDS:
        raise UsageError(f"an expression has at most {MOST_WORDS} words; got {plain.count(' ') + 1}: use fewer words")
    return plain


@dataclass(frozen=True)
class _Words:
    """The patterns that are made of the lists; a match of ``relation``, ``place`` … is looked up in the tables."""

    lists: WordLists
    relation: re.Pattern[str]
    not_landmark: re.Pattern[str]
    group: re.Pattern[str]
    counted: re.Pattern[str]
    ranked: re.Pattern[str]
    place: re.Pattern[str]
    part_of: re.Pattern[str]
    direction: re.Pattern[str]
    number: re.Pattern[str]
    opening: re.Pattern[str]
    unread: re.Pattern[str]
    leftover: re.Pattern[str]

    @staticmethod
    @cache
    def load(parser: str) -> "_Words":
        lists = word_lists(parser)
        direction, part, picture = _any(lists.superlatives), _any(lists.parts), _any(lists.picture)
        directions = rf"{direction}(?:(?:\s+|-|\s+and\s+){direction})*"
        end = rf"(?:[- ]hand)?(?:\s+(?:most\s+)?{part})?"
        group, ordinal = _any(lists.groups), _any(lists.ordinals)
        near = [word for word, kind in lists.relations.items() if kind == "near"]
        leading = _any(["in", "on", "at", "to", "from", "toward", "towards", *near])
        # "on the right", "far left", "in the bottom left corner of the picture"; not "left of the car".
        place = (
            rf"(?:(?P<preposition>{leading})\s+)?(?:the\s+)?{_STEPS}\b(?P<words>{directions})\b(?:"
            rf"(?P<whole>{end}\s+of\s+(?:the\s+|this\s+)?(?:{picture}|{group})\b)|"
            rf"(?!{end}\s+(?:of|than|from)\b)(?:[- ]hand)?(?P<part>\s+{part}\b)?)"
        )
        inside = rf"in(?=\s+(?:an?|the)\s+(?:\w+\s+){{0,2}}?{_any(lists.containers)}\b)"
        # A direction is no landmark: "nearest the top", "next to the left edge".
        edge = rf"{directions}(?:[- ]hand)?(?:\s+{part})?(?:\s+of\s+(?:the\s+|this\s+)?{picture})?\s*(?:$|,|and\b)"
        nowhere = [picture, _any(lists.observers), edge] if lists.counts else [picture, group]
        of_group = rf"(?:\s+of\s+(?:the\s+|these\s+)?(?={group}\b))?" if lists.counts else ""
        return _Words(
            lists,
            relation=re.compile(
                rf"(?:\b(?:that|which|who)\b\s*)?(?:(?:'s|\b(?:is|are|was|were|standing|sitting))\s+)?{_ADVERBS}"
                r"(?:\b(?:on|to|at|in|from)\s+)?(?:\bthe\s+)?(?:\b(?:far|immediate|very)\s+)?"
                rf"\b(?P<relation>{_any(lists.relations)}|{inside})\s+(?=\w)"
            ),
            not_landmark=re.compile(rf"(?:the\s+|this\s+)?(?:{'|'.join(nowhere)})(?:\b|$)"),
            group=re.compile(rf"(?:the\s+|these\s+)?{group}\b(?P<things>\s+(?!of\b)\w)?"),
            counted=re.compile(
                rf"\b(?P<order>{ordinal})\b(?P<noun>[\w\s-]*?)\s+(?:from|to|on|in|at)\s+(?:the\s+)?"
                rf"{_STEPS}(?P<words>{direction})\b{of_group}(?!\s+of\b)(?:[- ]hand)?(?:\s+{part}\b)?"
            ),
            ranked=re.compile(rf"\b(?P<order>{ordinal})[\s-]+(?P<words>{direction})\b(?!\s+(?:than|from)\b)"),
            place=re.compile(place),
            part_of=re.compile(
                rf"^(?:the\s+)?(?P<words>{directions})(?:(?<!left)(?<!right)|(?:[- ]hand)?\s+{part})\s+of\s+(?=\w)"
            ),
            direction=re.compile(direction),
            number=re.compile(
                rf"(?:(?:the|these|those|of|and|,)\s+)*(?P<count>{_any(lists.counts)})\b"
                rf"(?:\s+(?:of\s+)?(?:(?:the|these|those)\s+)?(?P<second>{_any(lists.counts)})\b)?"
                r"(?:\s+of\b)?(?:\s+(?:the|these|those)\b)?\s+(?=\w)"
            ),
            opening=re.compile(rf"(?:{_any(lists.openings)}\s+)+(?=\w)"),
            unread=_unread(lists),
            leftover=_leftover(lists),
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
_DETERMINER = re.compile(r"(?:the|an?|this|that|these|those|his|her|its|their|my|your)\s")
_BARE = frozenset({"near", "nearer", "nearest", "nearby"})
"""Words that may stand before the noun they describe, and are then no relation."""
_NEAREST = re.compile(r"\b(?P<near>closest|nearest)\s+(?!to\b)(?P<noun>(?:\w+\s+){1,3}?)to\s+")
_STOP = (
    r"(?:and|or|with|in|on|at|to|from|by|near|next|beside|that|which|who|whose|wearing|holding|above|below|under|behind|"
    r"closest|nearest|is|are|not|without|(?:left|right) of)\b"
)
_THING = rf"(?:\s+(?!{_STOP})[\w'/-]+)*"
_DENIED = r"(?:\s+(?:in|on|at|to|by|with|near|next to|behind|from|wearing|holding|having|being|is|the)\b)*"


def _any(words: Iterable[str]) -> str:
    """A pattern of any of the words, the longest first; it matches nothing where there are none."""
    return "(?:" + ("|".join(map(re.escape, sorted(words, key=len, reverse=True))) or r"(?!)") + ")"


def _unread(lists: WordLists) -> re.Pattern[str]:
    """What is not understood together with the words that it governs."""
    to_a_thing, negation = ("|".join(some) or r"(?!)" for some in (lists.unread.to_a_thing, lists.unread.negation))
    return re.compile(rf"(?<![\w'])(?:(?:{to_a_thing})\b{_THING}|(?:{negation})(?![\w']){_DENIED}{_THING})")


def _leftover(lists: WordLists) -> re.Pattern[str]:
    """What is not understood where it is left in a phrase: words of place among them."""
    relations = [word for word in lists.relations if word not in ("by", "over", "besides")]
    known = _any([*lists.superlatives, *lists.ordinals, *relations])
    return re.compile(rf"(?<!\w)(?:{'|'.join([*lists.unread.alone, known])})(?!\w)")


class _Reading:
    """One expression being read.

    Attributes:
        unread: what was not understood so far.
        joined: what of it stays together, as one word of the text that is read.
        depth: of the phrase that is being read.
    """

    def __init__(self, words: _Words) -> None:
        self.words, self.lists = words, words.lists
        self.unread: list[str] = []
        self.joined: set[str] = set()
        self.depth = 0

    def expression(self, text: str) -> Phrase:
        """The tree of an expression."""
        plain = plain_words(text)
        text = self.words.opening.sub("", plain, count=1) if self.words.opening.match(plain) else plain
        if self.lists.counts:
            text = _NEAREST.sub(r"\g<noun>\g<near> to ", text)
            text = self.words.unread.sub(self._join, text)
        phrase = self.phrase(self.lists.kept.sub(lambda match: match[0].replace(" ", "_"), text))
        unread = sorted(dict.fromkeys(self.unread), key=plain.find)
        return replace(phrase, not_understood=tuple(unread))

    def _join(self, match: re.Match[str]) -> str:
        self.unread.append(match[0])
        self.joined.add(match[0].replace(" ", "_"))
        return match[0].replace(" ", "_")

    def phrase(self, text: str) -> Phrase:
        """The tree of a part of the expression.

        Raises:
            UsageError: where landmarks have relations to landmarks that have relations, and so on too often.
        """
        self.depth += 1
        if self.depth > DEEPEST:
            raise UsageError(f"the expression has more than {DEEPEST} landmarks within one another; use fewer of them")
        head, relations = self._split(text)
        self.depth -= 1
        superlatives: list[Superlative] = []
        one_of = False
        start = self.words.part_of.match(head)
        if start is not None:  # "the left side of the sandwich", with nothing before it: the left one
            superlatives += self._kinds(start["words"])
            head, one_of = head[start.end() :], True

        def take_counted(match: re.Match[str]) -> str:
            kind = self.lists.superlatives[match["words"]]
            superlatives.append(Superlative(kind, self.lists.ordinals[match["order"]]))
            return f"{match.groupdict().get('noun', '')} "

        def take_place(match: re.Match[str]) -> str:
            nonlocal one_of
            if not self._is_place_of_head(match):
                return match[0]
            superlatives.extend(self._kinds(match["words"]))
            one_of = one_of or match["whole"] is not None
            return " "

        head = self.words.counted.sub(take_counted, head)
        if self.lists.counts:
            head = self.words.ranked.sub(take_counted, head)
        head = self.words.place.sub(take_place, head)
        count: int | None = 1
        if self.lists.counts:
            one_of = one_of or (bool(superlatives) and re.match(r"\s*(?:the\s+)?(?:one\s+)?of\b", head) is not None)
            head, count = self._counted(head, one_of)
            self.unread += [match[0] for match in self.words.leftover.finditer(head)]
        return Phrase(clean_words(head), tuple(dict.fromkeys(superlatives)), tuple(relations), count)

    def _split(self, text: str) -> tuple[str, list[Relation]]:
        """The text without its relations, and these."""
        for match in self.words.relation.finditer(text):
            kind = self.lists.relations.get(match["relation"], "inside")
            head, rest = text[: match.start()], text[match.end() :]
            if self._is_no_relation(match, kind, head, rest, text):
                continue
            kinds = [kind]
            shared = self.words.relation.match(rest.removeprefix("and ")) if self.lists.counts else None
            if shared is not None and rest.startswith("and "):  # "above and left of the cup"
                kinds.append(self.lists.relations.get(shared["relation"], "inside"))
                rest = rest.removeprefix("and ")[shared.end() :]
            landmark, behind = self._landmark(rest, kind)
            marks = self._landmarks(landmark, kind)
            if not marks:
                continue
            head, others = self._split(f"{head} {behind}")
            return head, [*(Relation(one, marks) for one in kinds), *others]
        return text, []

    def _is_no_relation(self, match: re.Match[str], kind: str, head: str, rest: str, text: str) -> bool:
        named = bool(clean_words(head))
        if self.words.not_landmark.match(rest) or (not named and self.words.part_of.match(text)):
            return True
        if not self.lists.counts:
            return False
        group = self.words.group.match(rest)
        if group is not None and (group["things"] is None or (not named and kind in ("left", "right"))):
            return True
        word = match["relation"]
        if word in _BARE and not named and not _DETERMINER.match(rest):
            return True
        return word == "by" and (head.split() or [""])[-1] in self.lists.agents

    def _landmark(self, rest: str, kind: str) -> tuple[str, str]:
        """The words of the landmark, and what is said of the head behind it."""
        landmark, comma, behind = rest.partition(" , ")
        for joint in re.finditer(r"\s+and\s+", landmark):
            if self.words.relation.match(landmark, joint.end()):
                return landmark[: joint.start()], f"{landmark[joint.end() :]}{comma}{behind}"
        return landmark, f"{comma}{behind}"

    def _landmarks(self, text: str, kind: str) -> tuple[Phrase, ...]:
        """The things that a relation is to; none where "between" has not two of them."""
        if kind != "between":
            return (self.phrase(text),)
        pair = re.split(r"\s+and\s+", text, maxsplit=1)
        if len(pair) == 2:
            return tuple(map(self.phrase, pair))
        if not self.lists.counts or self._counted(text, False)[1] == 1:
            return ()
        return (replace(self.phrase(text), count=1),) * 2  # "between the two cars"

    def _is_place_of_head(self, match: re.Match[str]) -> bool:
        """True where words of place say where the thing is, not which hand it lifts or which lane it is on."""
        before, after = match.string[: match.start()], match.string[match.end() :].strip()
        if match["whole"] or (match["part"] and match["preposition"]):
            return True
        if _POSSESSED.search(before):
            return False
        if not after or after.startswith(",") or _FUNCTION.match(after) or after.split()[0] in self.joined:
            return True
        said = before.rpartition(" , ")[2]
        return match["preposition"] is None and _FUNCTION.search(said) is None

    def _kinds(self, text: str) -> list[Superlative]:
        return [Superlative(self.lists.superlatives[word]) for word in self.words.direction.findall(text)]

    def _counted(self, head: str, one_of: bool) -> tuple[str, int | None]:
        """The words without their number, and how many things they mean.

        Args:
            head: words of a phrase.
            one_of: True where they name several things of which one is meant, as in "the left one of the cups".
        """
        head = " ".join(head.split())
        chosen = re.match(r"(?:the\s+|any\s+)?one\s+of\s+(?=the\b|these\b|those\b)", head)
        if chosen is not None:
            head, one_of = head[chosen.end() :], True
        number = self.words.number.match(head)
        rest = head[number.end() :] if number is not None else head
        noun = head_noun(rest)
        if noun is None:
            return head, 1
        one = singular(noun[0], self.lists)
        if number is not None and (one is not None or number["count"] in ("every", "each")):
            count = self.lists.counts[number["second"] or number["count"]]
        elif one is not None:
            number, rest, count = None, head, None
            noun = head_noun(rest) or noun
        else:
            return head, 1
        if one is not None and (one_of or number is not None):
            rest = f"{rest[: noun.start()]}{one}{rest[noun.end() :]}"
        return rest, 1 if one_of else count


def clean_words(text: str) -> str:
    """The words of a phrase without loose ends; empty where they name nothing in particular."""
    text = re.sub(r"(?:\s+,)+", " ,", " ".join(text.split()))
    text = _LEADING.sub("", _TRAILING.sub("", text).removeprefix(", ") + " ").strip()
    text = text.replace(" ,", ",").replace("_", " ")
    return "" if text in word_lists().anything or not re.search(r"\w", text) else text
