"""From examples to classes: the vocabulary of their names, a head for each kind of vectors, and facts of both."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from densevl.classifiers.classes import HEADS, Classes, Head
from densevl.classifiers.contracts import Examples as LabelledVectors
from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings
from densevl.core.vocabulary import Vocabulary, normalised
from densevl.datasets.examples import Example, SequenceExample
from densevl.tasks.teaching.fitting import HeldOut, fit_head, method_of

__all__ = [
    "METHOD",
    "Taught",
    "TextSpace",
    "check_same_flip",
    "examples_digest",
    "prior_texts",
    "step_facts",
    "teach_head",
    "vocabulary_of",
    "wanted_heads",
]

IMAGE_HEADS = ("regions", "pixels")
"""The heads that examples of single images teach."""

METHOD = "gda-prior"
"""The method where none is named."""


@dataclass(frozen=True)
class TextSpace:
    """What embeds the names of classes beside the vectors of the examples.

    Attributes:
        embed: from texts to unit vectors; raises UsageError for words that it does not know.
        model_id: identity of the model.
        temperature: factor of the cosines of texts and vectors.
    """

    embed: Callable[[list[str]], Float[Tensor, "n d"]]
    model_id: str
    temperature: float


@dataclass(frozen=True)
class Taught:
    """Classes, and what they say of the examples that they were taught by.

    Attributes:
        classes: the classes.
        examples: what they were taught by, this time.
        labels: class of each example.
        held_out: by head, answers for held-out examples; None where none could be held out.
    """

    classes: Classes
    examples: tuple[Example | SequenceExample, ...]
    labels: tuple[int, ...]
    held_out: Mapping[str, HeldOut | None]


def vocabulary_of(
    examples: Sequence[Example | SequenceExample], before: Classes | None = None
) -> tuple[Vocabulary, tuple[int, ...]]:
    """The classes that examples name, those of earlier classes first, and the label of each example.

    Raises:
        UsageError: where there is but one class, so that nothing has to be told apart.
    """
    classes = [] if before is None else list(before.vocabulary.classes)
    places = {normalised(word): label for label, synonyms in enumerate(classes) for word in synonyms}
    for example in examples:
        if normalised(example.name) not in places:
            places[normalised(example.name)] = len(classes)
            classes.append((example.name,))
    if len(classes) < 2:
        raise UsageError(
            f"all examples are of {classes[0][0]!r}, and there is nothing to tell it from; give examples of another "
            "class, such as of the background"
        )
    name = "taught" if before is None else before.vocabulary.name
    return Vocabulary.from_classes(classes, name), tuple(places[normalised(example.name)] for example in examples)


def wanted_heads(heads: str, before: Classes | None = None) -> tuple[str, ...]:
    """The heads that are to be taught; those of earlier classes where examples are added to them.

    Args:
        heads: one of :data:`densevl.classifiers.classes.HEADS`, or ``both``, which are those of single images.
        before: earlier classes.

    Raises:
        UsageError: where there is no such head.
    """
    if heads not in (*HEADS, "both"):
        raise UsageError(f"classes are taught for {', '.join(HEADS)} or both; got {heads!r}")
    wanted = IMAGE_HEADS if heads == "both" else (heads,)
    if before is None:
        return wanted
    if ("sequences" in before.heads) != (heads == "sequences"):
        raise UsageError(
            f"the earlier classes were taught for {', '.join(before.heads)}; give examples of these"
            f"{', with --for sequences' if 'sequences' in before.heads else ''}"
        )
    return tuple(before.heads)


def check_same_flip(before: Classes, flip: bool) -> None:
    """Refuse to add to earlier classes with mirror images what is taught without, and the other way round.

    Raises:
        UsageError: where the two differ; files that do not say so were taught without.
    """
    steps = [step for head in before.heads.values() for step in head.facts.get("taught", [])]
    if any(bool(step.get("flip")) != flip for step in steps):
        raise UsageError(
            "the earlier classes were taught without mirror images; leave --flip (flip=True) out, or teach all anew"
            if flip
            else "the earlier classes were taught with mirror images; give --flip (flip=True), or teach all anew"
        )


def prior_texts(vocabulary: Vocabulary, space: TextSpace) -> TextEmbeddings:
    """The vocabulary as vectors; words that the model does not know are left out, so that a class may have no query."""
    pairs = list(zip(vocabulary.queries, vocabulary.query_classes, strict=True))
    try:
        vectors, kept = space.embed([word for word, _ in pairs]), pairs
    except UsageError:
        found = [(pair, vector) for pair in pairs if (vector := _known(pair[0], space)) is not None]
        kept = [pair for pair, _ in found]
        vectors = torch.cat([vector for _, vector in found]) if found else torch.zeros(0, 1)
    owners = torch.tensor([label for _, label in kept], dtype=torch.long)
    return TextEmbeddings(vectors.detach().float().cpu(), owners, vocabulary, space.model_id, "as the model")


def _known(word: str, space: TextSpace) -> Float[Tensor, "1 d"] | None:
    try:
        return space.embed([word])
    except UsageError:
        return None


def teach_head(
    vectors: LabelledVectors,
    vocabulary: Vocabulary,
    space: TextSpace,
    method: Any = None,
    before: Head | None = None,
    facts: Mapping[str, Any] | None = None,
) -> tuple[Head, HeldOut | None]:
    """A head of labelled vectors.

    Args:
        vectors: the examples, and after them their views.
        vocabulary: all classes.
        space: embeds their names.
        method: a classifier method, its config or its name; None for that of ``before``, or :data:`METHOD`.
        before: a head of the first of these classes, which is gone on from.
        facts: further facts of the head.

    Raises:
        UsageError: where the method cannot use the examples, or go on from the earlier head.
    """
    texts = prior_texts(vocabulary, space)
    if not len(texts.vectors):
        texts = replace(texts, vectors=torch.zeros(0, vectors.vectors.shape[1]))
    earlier = None
    if before is not None:
        method = _same_method(method, before)
        if before.sums is not None:
            earlier = replace(before, sums=before.sums.placed(range(len(before.sums)), len(vocabulary)))
    head, held = fit_head(method or METHOD, texts, vectors, space.temperature, earlier or before)
    known = set(texts.query_classes.tolist())
    unknown = [name for label, name in enumerate(vocabulary.names) if label not in known]
    step = {**(facts or {}), **({"held_out": held.facts} if held is not None else {})}
    history = [*([] if before is None else before.facts.get("taught", [])), step]
    return replace(head, facts={**head.facts, "words_unknown": unknown, "taught": history}), held


def _same_method(method: Any, before: Head) -> Any:
    """The method of an earlier head, with its settings.

    Raises:
        UsageError: where another one is asked for.
    """
    own = {"type": before.facts.get("method"), **before.facts.get("settings", {})}
    if method is not None and method_of(method) != method_of(own):
        raise UsageError(
            f"the classes were taught by {method_of(own).name}, and examples are added by the same method; leave "
            "--method out, or teach all examples anew"
        )
    return own


def examples_digest(examples: Sequence[Example]) -> str:
    """The beginning of a hash of examples: the bytes of their images, regions and names, in any order."""
    images = {example.image: hashlib.sha256(example.image.read_bytes()).hexdigest() for example in examples}
    parts = sorted(
        json.dumps([images[e.image], e.name, e.box, _said(e.mask), e.point, e.relative, e.caption], default=str)
        for e in examples
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _said(mask: Any) -> Any:
    return hashlib.sha256(mask.read_bytes()).hexdigest() if isinstance(mask, Path) else mask


def step_facts(examples: Sequence[Example], **settings: Any) -> dict[str, Any]:
    """What is known of the examples of one teaching."""
    shots = Counter(normalised(example.name) for example in examples)
    names = {normalised(example.name): example.name for example in reversed(examples)}
    return {
        "examples": examples_digest(examples),
        "images": len({example.image for example in examples}),
        "shots": {names[name]: count for name, count in shots.items()},
        **settings,
    }
