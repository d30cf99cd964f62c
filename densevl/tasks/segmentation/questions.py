"""From a vocabulary to embedded texts: templates, the background mode, and what an encoder makes of words."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from densevl.core.background import NEUTRAL, Background
from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings
from densevl.core.readings import Reading
from densevl.core.understood import Understood
from densevl.core.vocabulary import Vocabulary, templates
from densevl.encoders.contracts import KnowsClasses, TextSpace, understand
from densevl.tasks.segmentation.contrast import apart, far

__all__ = ["Questions"]

Queries = Sequence[tuple[str, int]]
"""Texts, each with the index of its class."""


@dataclass(frozen=True)
class Questions:
    """How a segmentor puts its questions.

    Attributes:
        templates: name of the text templates.
        background: mode where nobody names another.
        single: mode where the vocabulary is one class and nobody names another.
        finds_foreground: whether the features tell things from background, as the mode ``head`` needs.
        tells_others: whether the classifier tells everything else that the model was trained with, as the mode
            ``others`` needs.
        averages_logits: whether no probabilities of patches are made, which the mode ``head`` marks.

    Raises:
        UsageError: where the model cannot do what a mode asks for.
    """

    templates: str
    background: Background
    single: Background
    finds_foreground: bool
    tells_others: bool
    averages_logits: bool

    def __post_init__(self) -> None:
        for mode in (self.background, self.single):
            self._check(mode)

    def embed(
        self,
        encoder: TextSpace,
        vocabulary: Vocabulary,
        background: Any = None,
        partly: bool = False,
        each: bool = False,
    ) -> TextEmbeddings:
        """Embed the queries of a vocabulary, extended by the background class that the mode asks for.

        Args:
            encoder: of the texts.
            vocabulary: the classes.
            background: a background mode as :meth:`Background.parse` reads it; None for the own.
            partly: whether classes of which the encoder knows no query are left without one.
            each: whether the vectors of each template are kept.

        Raises:
            UsageError: where the encoder knows no query of some class, or, ``partly``, of any.
        """
        mode = self.mode_of(vocabulary, background)
        vocabulary = mode.extend(vocabulary)
        vocabulary = apart(vocabulary) if mode.mode == "contrast" else vocabulary
        asked, understood = _queries(encoder, vocabulary, mode)
        if understood is not None:
            understood.check_any() if partly else understood.check()
            asked = understood.known
        vectors = encoder.embed_texts([query for query, _ in asked], templates(self.templates))
        if mode.mode == "contrast":
            vocabulary, asked, vectors = _without_near(vocabulary, asked, vectors)
        queries = [query for query, _ in asked]
        known = encoder.closed_set(queries) if isinstance(encoder, KnowsClasses) else None
        if known is not None and mode.mode in ("literal", "others"):
            known = replace(known, rest=vocabulary.background)
        return TextEmbeddings(
            vectors,
            torch.tensor([owner for _, owner in asked], device=vectors.device),
            vocabulary,
            encoder.model_id,
            self.templates,
            mode.threshold,
            mode.delta,
            known,
            self._each(encoder, queries) if each else None,
        )

    def understood(self, encoder: TextSpace, vocabulary: Vocabulary, background: Any = None) -> Understood | None:
        """How an encoder reads the queries of a vocabulary; None for one that takes any text.

        Args:
            encoder: of the texts.
            vocabulary: the classes.
            background: as :meth:`embed` takes it.
        """
        mode = self.mode_of(vocabulary, background)
        if mode.mode == "contrast":  # whose words nobody wrote
            return _queries(encoder, vocabulary, Background())[1]
        return _queries(encoder, mode.extend(vocabulary), mode)[1]

    def mode_of(self, vocabulary: Vocabulary, background: Any = None) -> Background:
        """The background mode that classes are embedded with.

        Args:
            vocabulary: the classes.
            background: as :meth:`embed` takes it.

        Raises:
            UsageError: where the model cannot do what the mode asks for.
        """
        alone = len(vocabulary) == 1 and vocabulary.background is None
        own = self.single if alone else self.background
        mode = own if background is None else Background.parse(background)
        if mode.mode == "contrast" and not mode.source:
            mode = replace(mode, source=self.single.source or NEUTRAL)
        self._check(mode)
        return mode

    def _each(self, encoder: TextSpace, queries: Sequence[str]) -> Float[Tensor, "q t d"]:
        """Unit vectors of each query in each template."""
        around = templates(self.templates)
        sentences = [template.replace("{}", query) for query in queries for template in around]
        return encoder.embed_texts(sentences).unflatten(0, (len(queries), len(around)))

    def _check(self, mode: Background) -> None:
        if mode.mode == "head" and not self.finds_foreground:
            raise UsageError(
                "background mode `head` needs a model with a background head, such as dinoiser, and this one has none; "
                "take that model, or another mode: literal, words, threshold:0.5"
            )
        if mode.mode == "others" and not self.tells_others:
            raise UsageError(
                "background mode `others` needs a model that was trained to tell certain classes apart, such as photo; "
                "take that model, or another mode: literal, words, threshold:0.5"
            )
        if mode.mode == "head" and self.averages_logits:
            raise UsageError(
                "background mode `head` marks probabilities of patches, which average=logits does not make"
            )


def _queries(encoder: TextSpace, vocabulary: Vocabulary, mode: Background) -> tuple[Queries, Understood | None]:
    """The queries with their classes, and how an encoder reads them that knows certain words.

    To such an encoder the class "background" is everything that no query covers, and no word.
    """
    rest = mode.mode == "literal" and isinstance(encoder, KnowsClasses)
    silent = vocabulary.background if rest or mode.mode in ("threshold", "others") else None
    pairs = zip(vocabulary.queries, vocabulary.query_classes, strict=True)
    asked = [pair for pair in pairs if pair[1] != silent]
    if mode.mode == "contrast" and isinstance(encoder, KnowsClasses):  # nobody wrote these words
        read = encoder.understand([query for query, _ in asked])
        known = [
            isinstance(one, Reading) or pair[1] != vocabulary.background for pair, one in zip(asked, read, strict=True)
        ]
        asked = [pair for pair, there in zip(asked, known, strict=True) if there]
    return asked, understand(encoder, asked, vocabulary.names)


def _without_near(
    vocabulary: Vocabulary, asked: Queries, vectors: Float[Tensor, "q d"]
) -> tuple[Vocabulary, Queries, Float[Tensor, "k d"]]:
    """Classes, queries and vectors without the words of the background whose vectors are near to a class."""
    behind = torch.tensor([owner == vocabulary.background for _, owner in asked], device=vectors.device)
    name = vocabulary.names[vocabulary.background or 0]
    named = torch.tensor([query == name for query, _ in asked], device=vectors.device)
    kept = ~behind | named
    words = behind & ~named
    kept[words] = far(vectors[words], vectors[~behind])
    left = [pair for pair, there in zip(asked, kept.tolist(), strict=True) if there]
    of_background = [query for query, owner in left if owner == vocabulary.background and query != name]
    return vocabulary.with_background((name, *of_background)), left, vectors[kept]
