"""Modes of the background: labels of the pixels that show none of the classes.

Seven modes, as the literature uses them:

* ``none``: every pixel gets one of the classes;
* ``literal``: one more class, found by the word "background", or by the words that the vocabulary has for it; with a
  threshold, also the pixels whose best probability falls below it (SCLIP and its kin);
* ``words``: one more class, found by a list of words for what usually surrounds objects;
* ``contrast``: one more class, found by words that stand beside the classes in captions, or by neutral ones; those that
  mean the same as a class or a part of it are left out (see :mod:`densevl.core.contrast`). What a single class is
  compared with where nobody names a mode;
* ``threshold``: pixels whose best probability falls below a threshold, and no text at all;
* ``head``: as ``literal``, and besides the patches where no class is certain and a head of the model, trained for it,
  sees no thing (CLIP-DINOiser);
* ``others``: the probability of everything else that a model was trained to tell apart, for a model that says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from densevl.core.contrast import ContrastWords
from densevl.core.errors import UsageError, shortened
from densevl.core.vocabulary import Vocabulary, background_words, normalised

__all__ = ["Background"]

MODES = ("none", "literal", "words", "contrast", "threshold", "head", "others")

NEUTRAL = "neutral"
"""The list of contrast words of a model that names none."""

CERTAIN = 0.99
"""The published probability from which on the head does not count."""


@dataclass(frozen=True)
class Background:
    """A mode of the background class, with its settings.

    Attributes:
        mode: ``"none"``, ``"literal"``, ``"words"``, ``"contrast"``, ``"threshold"``, ``"head"`` or ``"others"``.
        words: queries of the background class, in mode ``"words"``.
        source: name or file of the list of words, in mode ``"contrast"``; empty for that of the model.
        threshold: least probability, in (0, 1), of a pixel that belongs to a class, in mode ``"threshold"`` and,
            where it is wanted, in mode ``"literal"``.
        delta: least probability, in (0, 1], of a patch that belongs to a class whatever the head says, in mode
            ``"head"``.
    """

    mode: str = "none"
    words: tuple[str, ...] = ()
    threshold: float | None = None
    delta: float | None = None
    source: str = ""

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UsageError(f"background mode must be one of {', '.join(MODES)}; got {self.mode!r}")
        wanted = self.mode == "threshold" or (self.mode == "literal" and self.threshold is not None)
        if wanted and not (self.threshold is not None and 0 < self.threshold < 1):
            raise UsageError(f"a background threshold is a probability between 0 and 1; got {self.threshold!r}")
        if self.mode == "head" and not (self.delta is not None and 0 < self.delta <= 1):
            raise UsageError(f"delta of the background head is a probability above 0, up to 1; got {self.delta!r}")
        if self.mode == "words" and not self.words:
            raise UsageError("background words are missing; give a few, as in `words:sky,wall,floor`")
        if self.mode == "contrast" and self.source:
            ContrastWords.load(self.source)

    @classmethod
    def parse(cls, value: "Background | str | float | Sequence[str] | None") -> "Background":
        """Read what users write.

        Args:
            value: None, a number (a threshold), a sequence of words, or a string: ``"none"``, ``"literal"``,
                ``"literal:0.1"``, ``"words"`` (a built-in list), ``"words:sky,wall"``, ``"contrast"``,
                ``"contrast:neutral"``, ``"contrast:FILE"``, ``"threshold:0.6"``, ``"head"``, ``"head:0.95"``,
                ``"others"``.

        Raises:
            UsageError: where the value is none of these.
        """
        if isinstance(value, Background):
            return value
        if value is None:
            return cls()
        if isinstance(value, bool):
            return cls("literal" if value else "none")
        if isinstance(value, int | float):
            return cls("threshold", threshold=float(value))
        if isinstance(value, list | tuple) and all(isinstance(word, str) for word in value):
            return cls("words", words=tuple(value))
        if not isinstance(value, str):
            raise UsageError(f"a background is a mode, a threshold or a list of words; got {shortened(repr(value))}")
        mode, _, rest = value.partition(":")
        if mode == "words":
            return cls("words", words=tuple(w.strip() for w in rest.split(",") if w.strip()) or background_words())
        if mode == "contrast":
            return cls("contrast", source=rest.strip())
        if mode == "threshold" or (mode == "literal" and rest):
            return cls(mode, threshold=_number(rest, f"write the background threshold as `{mode}:0.5`", value))
        if mode == "head":
            return cls("head", delta=_number(rest, "write `head`, or `head:0.95`", value) if rest else CERTAIN)
        if rest:
            raise UsageError(f"background mode {mode!r} takes nothing after a colon; got {value!r}")
        return cls(mode)

    def __str__(self) -> str:
        if self.mode == "words":
            return f"words:{','.join(self.words)}"
        if self.mode == "contrast":
            return f"contrast:{self.source}" if self.source else "contrast"
        if self.mode == "head":
            return "head" if self.delta == CERTAIN else f"head:{self.delta:g}"
        return self.mode if self.threshold is None else f"{self.mode}:{self.threshold:g}"

    def extend(self, vocabulary: Vocabulary) -> Vocabulary:
        """``vocabulary`` with the background class that this mode asks for.

        A vocabulary that has a background class keeps its place; words that are also the name of another class are
        left to that class. In mode ``contrast`` these are all words that stand beside the classes, near ones too.
        """
        if self.mode == "none":
            return vocabulary
        if self.mode not in ("words", "contrast"):
            return vocabulary if vocabulary.background is not None else vocabulary.with_background(("background",))
        taken = {
            normalised(query)
            for query, label in zip(vocabulary.queries, vocabulary.query_classes, strict=True)
            if label != vocabulary.background
        }
        free = tuple(word for word in self._candidates(tuple(taken)) if normalised(word) not in taken)
        if not free and self.mode == "words":
            raise UsageError("every background word is also the name of a class; give other words")
        return vocabulary.with_background(("background", *free))

    def _candidates(self, queries: Sequence[str]) -> tuple[str, ...]:
        """Words for the background class of these queries."""
        if self.mode == "words":
            return self.words
        words = ContrastWords.load(self.source or NEUTRAL).words_for(queries)
        return tuple(word for word in words if normalised(word) != "background")


def _number(text: str, rule: str, value: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{rule}; got {value!r}") from None
