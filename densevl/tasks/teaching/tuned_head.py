"""A head of what tuning made of class names: the temperature, and how held-out examples are answered."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from densevl.classifiers.classes import Head
from densevl.classifiers.contracts import Classifier
from densevl.classifiers.folds import fitted_weights
from densevl.classifiers.sums import Sums
from densevl.classifiers.unknown import Known
from densevl.tasks.teaching.fitting import HeldOut

__all__ = ["tuned_head"]


def tuned_head(
    classifier: Callable[[float], Classifier],
    vectors: Float[Tensor, "n d"],
    labels: Int[Tensor, " n"],
    out: Int[Tensor, " m"],
    temperature: float,
) -> tuple[Head, HeldOut | None]:
    """The head, and what it says of examples that were held out of tuning; None where none were.

    Args:
        classifier: of a factor of cosines.
        vectors: unit vectors of all examples by the tuned encoder.
        labels: class of each.
        out: numbers of those that were held out; they choose the factor.
        temperature: the factor where none were.
    """
    dim = int(vectors.shape[1])
    if not len(out):
        return Head(classifier(temperature), dim, None, {"temperature": 1.0}), None
    logits = classifier(temperature)(vectors[out]).float()
    scale = float(fitted_weights([logits], labels[out], (1.0,))[0][0])
    kept = torch.ones(len(labels), dtype=torch.bool)
    kept[out] = False
    known = Known.of(Sums.of(vectors[kept].half().float(), labels[kept], int(labels.max()) + 1))
    held = HeldOut(
        out, labels[out], (scale * logits).softmax(1), 1 / scale, known.doubts(vectors[out].double()).float()
    )
    facts: dict[str, Any] = {name: value for name, value in held.facts.items() if name != "folds"}
    return Head(classifier(temperature * scale), dim, None, {"temperature": 1 / scale, "held_out": facts}), held
