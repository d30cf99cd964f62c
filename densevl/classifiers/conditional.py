"""Classes whose texts depend on what they are compared with: each vector has class texts of its own.

Source: Zhou et al., Conditional Prompt Learning for Vision-Language Models, CVPR 2022,
https://arxiv.org/abs/2203.05557. With the class texts t_k(x) that an encoder makes for the vector x::

    logit_k(x) = temperature · x · t_k(x)

What makes the texts is a part of the delta of the classes, and needs the text tower. So a file holds the classifier
without it, and whoever loads the model puts it in: see :func:`densevl.encoders.tuning.bound.bound`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from densevl.classifiers.contracts import Classifier
from densevl.core.errors import UsageError
from densevl.core.vocabulary import Vocabulary

__all__ = ["ConditionalClassifier", "conditional_parts", "with_texts"]

VECTORS_AT_ONCE = 64
"""Vectors whose class texts are held together."""

Texts = Callable[[Tensor], Tensor]
"""From vectors "n d" to the texts of the classes for each, "n k d"."""


@dataclass(frozen=True, eq=False)
class ConditionalClassifier:
    """Scaled cosines of each vector with the class texts that an encoder makes for it.

    A pass of the text tower for each vector and class is the price: for the cells of an image take a few classes.

    Attributes:
        temperature: factor of the cosines.
        vocabulary: the classes.
        model_id: identity of the encoder and its weights.
        space: which vectors of the model it takes; see :class:`densevl.classifiers.contracts.Classifier`.
        making: from vectors "n d" to class texts "n k d"; None in a file, where there is no encoder.
    """

    temperature: float
    vocabulary: Vocabulary
    model_id: str
    space: str | None = None
    making: Texts | None = field(default=None, metadata={"stored": False})

    def __call__(self, vectors: Float[Tensor, "*n d"]) -> Float[Tensor, "*n k"]:
        """Logits of unit vectors.

        Raises:
            UsageError: where no encoder is at hand to make the texts.
        """
        if self.making is None:
            raise UsageError(
                "the texts of these classes depend on the image and are made by the model that was tuned; give the "
                "classes to that model, as with model.recognise(image, boxes, classes)"
            )
        flat = vectors.flatten(0, -2)
        parts = [some for some in flat.split(VECTORS_AT_ONCE) if len(some)]
        found = [torch.einsum("nd,nkd->nk", some, self.making(some).to(some)) for some in parts]
        logits = torch.cat([flat.new_empty(0, len(self.vocabulary)), *found])
        return self.temperature * logits.unflatten(0, vectors.shape[:-1])


def conditional_parts(classifier: Any) -> Iterator[ConditionalClassifier]:
    """The parts of a classifier whose texts depend on what they are compared with, itself included."""
    if isinstance(classifier, ConditionalClassifier):
        yield classifier
    elif isinstance(classifier, list | tuple):
        for one in classifier:
            yield from conditional_parts(one)
    elif is_dataclass(classifier):
        for own in fields(classifier):
            yield from conditional_parts(getattr(classifier, own.name))


def with_texts(classifier: Any, make: Callable[[ConditionalClassifier], Texts]) -> Any:
    """A classifier in which each such part has what makes its texts.

    Args:
        classifier: with such parts or without; it stays as it is.
        make: gives it for a part.
    """
    if isinstance(classifier, ConditionalClassifier):
        return replace(classifier, making=make(classifier))
    if isinstance(classifier, list | tuple):
        return type(classifier)(with_texts(one, make) for one in classifier)
    if not isinstance(classifier, Classifier) or not is_dataclass(classifier):
        return classifier
    parts = {own.name: getattr(classifier, own.name) for own in fields(classifier)}
    return replace(classifier, **{name: with_texts(one, make) for name, one in parts.items()})
