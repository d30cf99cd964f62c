"""The contracts of the classifiers: from vectors to class scores.

A *classifier* is a value: it holds a vocabulary and says of which model, and in which space of that model, the vectors
are that it takes. A *method* makes one of texts, of examples, or of both; methods are what is registered and named.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from densevl.core.errors import UsageError, shortened
from densevl.core.features import TextEmbeddings
from densevl.core.vocabulary import Vocabulary

__all__ = [
    "Classifier",
    "ClassifierMethod",
    "Examples",
    "LinearClassifier",
    "MergedClassifier",
    "SumClassifier",
    "check_classifier",
    "check_examples",
]


@runtime_checkable
class Classifier(Protocol):
    """From unit vectors to class scores.

    Attributes:
        vocabulary: the classes.
        model_id: identity of the encoder and its weights.
        space: which vectors of the model it was made for, as who makes them names it; None for the joint space of
            images and texts, in which dense features and regions alike can be compared with texts.
    """

    @property
    def vocabulary(self) -> Vocabulary: ...

    @property
    def model_id(self) -> str: ...

    @property
    def space(self) -> str | None: ...

    def __call__(self, vectors: Float[Tensor, "*n d"], /) -> Float[Tensor, "*n k"]:
        """Logits: a softmax over them gives probabilities."""
        ...


class Examples(NamedTuple):
    """Labelled vectors that a classifier learns from.

    Attributes:
        vectors: unit vectors.
        labels: index in the vocabulary of the class of each.
        model_id: identity of the encoder and its weights.
        space: which vectors of the model they are; see :class:`Classifier`.
        groups: which image each is from, so that no image counts both in fitting and in testing; None where each is
            from an image of its own.
        weights: of each, so that several views of one thing count as one example together; None for 1.
        things: which thing each shows, where several are views of one; None where each shows a thing of its own.
        captions: unit vector of a text that describes each; None where there are none.
    """

    vectors: Float[Tensor, "n d"]
    labels: Int[Tensor, " n"]
    model_id: str
    space: str | None = None
    groups: Int[Tensor, " n"] | None = None
    weights: Float[Tensor, " n"] | None = None
    things: Int[Tensor, " n"] | None = None
    captions: Float[Tensor, "n d"] | None = None

    def chosen(self, kept: Bool[Tensor, " n"] | Int[Tensor, " m"]) -> "Examples":
        """Some of the examples: those where it is true, or those of its places."""
        return self._with(lambda values: values[kept])

    def to(self, device: torch.device) -> "Examples":
        """The examples on a device."""
        return self._with(lambda values: values.to(device))

    def _with(self, change: Callable[[Tensor], Tensor]) -> "Examples":
        """The examples with each tensor changed."""

        def of(values: Tensor | None) -> Tensor | None:
            return None if values is None else change(values)

        return self._replace(
            vectors=change(self.vectors),
            labels=change(self.labels),
            groups=of(self.groups),
            weights=of(self.weights),
            things=of(self.things),
            captions=of(self.captions),
        )


@runtime_checkable
class MergedClassifier(Classifier, Protocol):
    """A classifier of several, whose probabilities are merged where each has been scored by itself."""

    def merged(self, probabilities: Callable[[Classifier], Float[Tensor, "*n k"]], /) -> Float[Tensor, "*n k"]:
        """Merged probabilities.

        Args:
            probabilities: of the classes, by one of the classifiers.
        """
        ...


@runtime_checkable
class ClassifierMethod(Protocol):
    """Makes classifiers.

    Attributes:
        name: its kind and every setting, for reports and fingerprints.
    """

    @property
    def name(self) -> str: ...

    def fit(self, texts: TextEmbeddings, examples: Examples | None = None, temperature: float = 100.0) -> Classifier:
        """A classifier of the vocabulary of the texts.

        Args:
            texts: the vocabulary, embedded.
            examples: vectors of known classes; None where there are none.
            temperature: factor of cosines of images and texts.
        """
        ...


@dataclass(frozen=True, eq=False)
class LinearClassifier:
    """Logits ``vectors · weightᵀ + bias``; on a dense map a 1×1 convolution.

    Attributes:
        weight: of each class.
        bias: of each class.
        vocabulary: the classes.
        model_id: identity of the encoder and its weights.
        space: which vectors of the model it takes; see :class:`Classifier`.

    Raises:
        UsageError: where there is not one weight and one bias a class.
    """

    weight: Float[Tensor, "k d"]
    bias: Float[Tensor, " k"]
    vocabulary: Vocabulary
    model_id: str
    space: str | None = None

    def __post_init__(self) -> None:
        if self.weight.ndim != 2 or (len(self.weight),) != self.bias.shape or len(self.bias) != len(self.vocabulary):
            raise UsageError(
                f"weights {tuple(self.weight.shape)} and biases {tuple(self.bias.shape)} are not those of "
                f"{len(self.vocabulary)} classes"
            )

    def __call__(self, vectors: Float[Tensor, "*n d"]) -> Float[Tensor, "*n k"]:
        """Logits of vectors."""
        return vectors @ self.weight.to(vectors).mT + self.bias.to(vectors)


@dataclass(frozen=True, eq=False)
class SumClassifier:
    """The weighted sum of the logits of several classifiers of one vocabulary and one space.

    Attributes:
        members: the classifiers.
        weights: of their logits.

    Raises:
        UsageError: where they belong to different models, or have different classes.
    """

    members: Sequence[Classifier]
    weights: Sequence[float]

    def __post_init__(self) -> None:
        first = self.members[0]
        for other in self.members[1:]:
            if other.model_id != first.model_id or len(other.vocabulary) != len(first.vocabulary):
                raise UsageError(
                    f"classifiers of {first.model_id} with {len(first.vocabulary)} classes and of {other.model_id} "
                    f"with {len(other.vocabulary)} cannot be summed; fit both on the same"
                )

    @property
    def vocabulary(self) -> Vocabulary:
        """The classes."""
        return self.members[0].vocabulary

    @property
    def model_id(self) -> str:
        """Identity of the encoder and its weights."""
        return self.members[0].model_id

    @property
    def space(self) -> str | None:
        """The narrowest space of the members."""
        return next((member.space for member in self.members if member.space is not None), None)

    def __call__(self, vectors: Float[Tensor, "*n d"]) -> Float[Tensor, "*n k"]:
        """Logits of vectors."""
        first, *others = (weight * member(vectors) for weight, member in zip(self.weights, self.members, strict=True))
        return sum(others, first)


def check_examples(method: str, texts: TextEmbeddings, examples: Examples | None, every_class: bool) -> Examples:
    """The examples that a method can learn from, in float32, on the device of the texts, and without gradients.

    Args:
        method: its registered name, for errors.
        texts: the vocabulary.
        examples: what was given.
        every_class: whether each class needs an example.

    Raises:
        UsageError: where there are none, they are of another model, a number is not finite, a label is no class, or a
            class that needs an example has none.
    """
    if examples is None or not len(examples.vectors):
        raise UsageError(
            f"the classifier `{method}` learns from examples, and there are none; give some, or take `text`"
        )
    if examples.model_id != texts.model_id:
        raise UsageError(
            f"the examples are vectors of {examples.model_id!r} and the texts of {texts.model_id!r}; "
            "take the same model for both"
        )
    examples = examples.to(texts.vectors.device)
    names, labels = texts.vocabulary.names, examples.labels.long()
    if len(labels) != len(examples.vectors) or labels.min() < 0 or labels.max() >= len(names):
        raise UsageError(
            f"{len(examples.vectors)} examples want as many labels from 0 to {len(names) - 1}; "
            f"got {len(labels)} from {int(labels.min())} to {int(labels.max())}"
        )
    given = {"vector": examples.vectors, "caption": examples.captions}
    for what, vectors in given.items():
        wrong = [] if vectors is None else (~vectors.isfinite().all(1)).nonzero().flatten().tolist()
        if wrong:
            raise UsageError(
                f"the {what} of example {wrong[0]} ({names[int(labels[wrong[0]])]}) is not finite "
                f"({len(wrong)} of {len(labels)}); look at its image and at the weights of the model"
            )
    counts = torch.bincount(labels, minlength=len(names))
    if every_class and not counts.all():
        missing = ", ".join(names[index] for index in (counts == 0).nonzero().flatten().tolist())
        raise UsageError(f"the classifier `{method}` wants an example of each class; there is none of {missing}")
    captions = None if examples.captions is None else examples.captions.detach().float()
    return examples._replace(vectors=examples.vectors.detach().float(), labels=labels, captions=captions)


def _difference(taught: str, given: str | None) -> str:
    """What is unlike in the names of two spaces, setting by setting where they are of one kind."""
    kind, _, settings = taught.partition(" ")
    other, _, others = (given or "").partition(" ")
    try:
        own, now = json.loads(settings), json.loads(others)
    except json.JSONDecodeError:
        own = now = None
    if kind != other or not isinstance(own, dict) or not isinstance(now, dict):
        return f"{shortened(taught, 80)}, and these are {shortened(given or 'those of texts', 80)}"
    unlike = [name for name in sorted({*own, *now}) if own.get(name) != now.get(name)]
    unlike = ["type"] if "type" in unlike else unlike  # settings of another type say nothing

    def said(values: Mapping[str, object], name: str) -> str:
        return shortened(str(values.get(name, "not set")), 60)

    return ", ".join(f"{name} was {said(own, name)} and is {said(now, name)}" for name in unlike)


def check_classifier(classifier: Classifier, model_id: str, space: str | None) -> None:
    """Refuse a classifier for vectors that it was not made for.

    Args:
        classifier: the classifier to check.
        model_id: identity of the model whose vectors it shall take.
        space: which vectors of it they are.

    Raises:
        UsageError: where model or space is another.
    """
    if classifier.model_id != model_id:
        raise UsageError(
            f"the classes were made for vectors of {classifier.model_id!r} and these are of {model_id!r}; "
            "take the same model for both"
        )
    if classifier.space not in (None, space):
        raise UsageError(
            f"the classes were made for other vectors of this model: {_difference(classifier.space, space)}; load the "
            "model as it was taught, or make them anew for these"
        )
