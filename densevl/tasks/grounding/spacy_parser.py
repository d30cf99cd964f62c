"""Referring expressions taken apart along spaCy's dependency trees, where spaCy and an English pipeline are installed.

Source: ReCLIP (Subramanian et al., ACL 2022, https://arxiv.org/abs/2204.05991), code at commit 3ed4f47: noun chunks are
the things, and the words on the way from a chunk to the chunk it hangs on name the relation. The tree is of the same
type as that of :func:`parse_expression`, and so are the lists of words. Differences: words of place are taken out of
the phrase; a relation belongs to what the tree hangs it on, or to the head where that is no landmark; a chunk without a
relation stays words of the phrase; "middle" and "second from left" are known.
"""

from functools import cached_property
from typing import Any

from densevl.core.errors import UsageError
from densevl.tasks.grounding.expression import clean_words, plain_words
from densevl.tasks.grounding.phrase import Phrase, Relation, Superlative
from densevl.tasks.grounding.word_lists import word_lists
from densevl.tasks.spacy_pipeline import PIPELINE, load_pipeline

try:
    import spacy
    from spacy.tokens import Doc, Token
except ImportError as error:
    raise UsageError(
        "the parser 'spacy' needs spaCy and an English pipeline; install them: pip install spacy, then "
        "python -m spacy download en_core_web_sm"
    ) from error

__all__ = ["SpacyParser", "tree_of"]

STATIC = frozenset({"standing", "sitting", "located", "positioned"})
"""Verbs that say no more than that a thing is somewhere."""

STEPS = frozenset({"all", "far", "farthest", "furthest", "extreme", "most", "very", "way", "hand", "-"})
"""Words that only stress a place."""


class SpacyParser:
    """Takes expressions apart with a spaCy pipeline.

    Args:
        pipeline: name or folder of an English pipeline with a dependency parser and a tagger, or a loaded one.

    Raises:
        UsageError: where it is not installed, cannot be loaded, or is of another language.
    """

    def __init__(self, pipeline: "str | spacy.Language" = PIPELINE) -> None:
        self.pipeline = load_pipeline(pipeline)
        if self.pipeline.lang != "en":
            raise UsageError(
                f"expressions are English, and the spaCy pipeline is {self.pipeline.lang!r}; take {PIPELINE}"
            )

    @property
    def name(self) -> str:
        """The pipeline and its version, for reports."""
        meta = self.pipeline.meta
        return f"spacy:{meta['lang']}_{meta['name']} {meta['version']}"

    def __call__(self, text: str) -> Phrase:
        """The tree of an expression.

        Raises:
            UsageError: where the expression is empty, or the pipeline has no dependency parser.
        """
        return tree_of(self.pipeline(plain_words(text)))


def tree_of(doc: Doc) -> Phrase:
    """The tree of an expression that spaCy has parsed.

    Args:
        doc: English in lower case, with heads, dependency labels, tags and parts of speech.

    Raises:
        UsageError: where it has none.
    """
    if not doc.has_annotation("DEP"):
        raise UsageError(f"the spaCy pipeline has no dependency parser; take one that has, such as {PIPELINE}")
    return _Reading(doc).phrase(None)


class _Reading:
    """The meaning of each word of one expression.

    Attributes:
        landmarks: kind of the relation of each landmark to its owner; None for the second one of a pair.
        removed: index of each word that is no word of a phrase.
        places: owner and superlative of each word of place, by its index.
    """

    def __init__(self, doc: Doc) -> None:
        self.doc, self.words = doc, word_lists()
        self.landmarks: dict[Token, str | None] = {}
        self.removed: set[int] = set()
        self.places: dict[int, tuple[Token | None, Superlative]] = {}
        for noun in self.nouns:
            if noun != self.head or self._begins_with_side(noun):
                self._take_landmark(noun)
        # All of "top left" count, and the first one taken removes the others' words.
        for token in [token for token in doc if self._is_direction(token) and token.i not in self.removed]:
            self._take_place(token)

    @cached_property
    def kept(self) -> frozenset[int]:
        """Words that look like words of place and are none, as in "tank top"."""
        text, starts = "", []
        for token in self.doc:
            starts.append(len(text))
            text += token.lower_ + " "
        matches = list(self.words.kept.finditer(text))
        return frozenset(i for i, at in enumerate(starts) if any(m.start() <= at < m.end() for m in matches))

    @cached_property
    def nouns(self) -> list[Token]:
        """The roots of the noun chunks that are things, not places or pronouns such as "who"."""
        roots = [chunk.root for chunk in self.doc.noun_chunks]
        return [root for root in roots if not (self._is_place(root) or root.tag_.startswith("W"))]

    @cached_property
    def head(self) -> Token | None:
        """The thing that is meant; None where no noun names it."""
        root = next(token for token in self.doc if token.head == token)
        subjects = [noun for noun in self.nouns if noun.head == root and noun.dep_ in ("nsubj", "nsubjpass")]
        first = next(iter(self.nouns), None)
        return root if root in self.nouns else subjects[0] if subjects else first

    def phrase(self, owner: Token | None) -> Phrase:
        """The phrase of a landmark, or of the head where there is none."""
        words = [token.lower_ for token in self.doc if self._owner(token) == owner and token.i not in self.removed]
        superlatives = [place for of, place in self.places.values() if of == owner]
        relations = [
            Relation(kind, (self.phrase(mark), *(self.phrase(other) for other in self._pair(mark))))
            for mark, kind in self.landmarks.items()
            if kind is not None and (self._owner(mark.head) if mark.head != mark else None) == owner
        ]
        return Phrase(clean_words(" ".join(words)), tuple(dict.fromkeys(superlatives)), tuple(relations))

    def _pair(self, mark: Token) -> list[Token]:
        return [other for other, kind in self.landmarks.items() if kind is None and other.head == mark]

    def _owner(self, token: Token) -> Token | None:
        """The landmark in whose subtree a word is; None for the words of the head."""
        return next((above for above in (token, *token.ancestors) if above in self.landmarks), None)

    def _take_landmark(self, noun: Token) -> None:
        if noun.head in self.landmarks and noun.dep_ == "conj" and self.landmarks[noun.head] == "between":
            self.landmarks[noun] = None
            return
        if noun.lower_ in self.words.picture | self.words.groups:
            return
        before = self._way(noun)
        kind, length = self._relation(before, noun)
        if kind is None or (kind == "between" and not any(child.dep_ == "conj" for child in noun.children)):
            return
        self.landmarks[noun] = kind
        stated = {token.i for token in before[len(before) - length :]}
        still = {token.i for token in before if token.pos_ != "VERB" or token.lower_ in STATIC}
        # Articles among them ("to the right of the cat") went missing from the way.
        articles = {token.i for token in self.doc[before[0].i : noun.left_edge.i] if token.pos_ == "DET"}
        self.removed |= stated | still | articles

    def _way(self, noun: Token) -> list[Token]:
        """The words between a noun and what it hangs on, in their order, articles apart."""
        path = []
        for above in noun.ancestors:
            if above in self.nouns:
                break
            path.append(above)
        first = min((token.i for token in path), default=noun.i)
        between = self.doc[first : noun.left_edge.i]
        covered = {token.i for above in self.nouns if above.i >= first and above != noun for token in above.subtree}
        inner = {token.i for token in noun.subtree}
        return [token for token in between if token.pos_ != "DET" and token.i not in covered - inner]

    def _relation(self, before: list[Token], noun: Token) -> tuple[str | None, int]:
        """The kind of the relation that the words end with, and how many these are."""
        said = " ".join(token.lower_ for token in before)
        found = [words for words in self.words.relations if f" {said}".endswith(f" {words}")]
        if before and before[-1].i in self.kept and len(found) > 0:
            return None, 0
        if found:
            longest = max(found, key=len)
            return self.words.relations[longest], len(longest.split())
        inside = said.endswith("in") and noun.lower_ in self.words.containers
        determined = any(child.dep_ == "det" for child in noun.children)
        return ("inside", 1) if inside and determined else (None, 0)

    def _begins_with_side(self, noun: Token) -> bool:
        """True for "left of the man", in which the man is a landmark and nothing is named."""
        said = " ".join(token.lower_ for token in self._way(noun))
        return said in ("left of", "right of")

    def _is_direction(self, token: Token) -> bool:
        return token.lower_ in self.words.superlatives and token.i not in self.kept

    def _is_place(self, token: Token) -> bool:
        """True where a word is a direction, or a part such as "corner" with one before it."""
        part = token.lower_ in self.words.parts and any(self._is_direction(inner) for inner in token.subtree)
        picture = token.lower_ in self.words.picture and token.head != token
        return self._is_direction(token) or part or picture

    def _take_place(self, token: Token) -> None:
        top = token
        while top.head != top and self._is_place(top.head):
            top = top.head
        noun = next((above for above in top.ancestors if above in self.nouns), None)
        modifies = noun is not None and top.head == noun and top.i < noun.i
        if (modifies and noun != self.head and noun not in self.landmarks) or self._possessed(token, top):
            return
        owner = self._owner(top)
        order = 1
        if top.dep_ == "pobj" or top.head.pos_ == "ADP":
            order = self._take_ordinal(top, owner)
            self._remove_preposition(top)
        self.places[token.i] = owner, Superlative(self.words.superlatives[token.lower_], order)
        others = {inner.i for noun in self.nouns if noun in top.subtree for inner in noun.subtree}
        self.removed |= {token.i} | {inner.i for inner in top.subtree} - others

    def _possessed(self, *tokens: Any) -> bool:
        """True where it is somebody's left, not the image's."""
        return any(child.dep_ == "poss" for token in tokens for child in token.children)

    def _take_ordinal(self, top: Token, owner: Token | None) -> int:
        for token in self.doc[: top.i]:
            if token.lower_ in self.words.ordinals and self._owner(token) == owner and token.i not in self.removed:
                self.removed.add(token.i)
                return self.words.ordinals[token.lower_]
        return 1

    def _remove_preposition(self, top: Token) -> None:
        first = top.head.i
        self.removed.add(first)
        while first > 0 and self.doc[first - 1].lower_ in STEPS | {"the"}:
            first -= 1
            self.removed.add(first)
