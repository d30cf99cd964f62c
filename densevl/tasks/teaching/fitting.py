"""Fitting a head: settings and calibration by held-out examples, going on from the sums of an earlier head.

Every example is judged once by a classifier that saw no example of its image, nor any of its views. From these
answers come accuracy and calibration, and the temperature at which probabilities are right as often as they say.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, is_dataclass, replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from densevl.classifiers import CLASSIFIERS
from densevl.classifiers.classes import Head
from densevl.classifiers.contracts import (
    Classifier,
    ClassifierMethod,
    Examples,
    LinearClassifier,
    SumClassifier,
    check_classifier,
)
from densevl.classifiers.folds import FOLDS, fitted_weights, fold_numbers
from densevl.classifiers.left_out import left_out_doubts
from densevl.classifiers.sums import SummingMethod, Sums
from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings
from densevl.core.registry import build
from densevl.metrics.calibration import negative_log_likelihood, reliability

__all__ = ["HeldOut", "fit_head", "method_of"]

Judged = tuple[Int[Tensor, " n"], Float[Tensor, "n k"]]
"""The numbers of examples, and the logits of each."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Answers for examples by classifiers that saw nothing of their images.

    Attributes:
        examples: the number of each example that was judged.
        labels: class of each.
        probabilities: calibrated, of each class.
        temperature: that the logits were divided by.
        doubts: how far each lies from what the other images show; infinite where they do not show its class.
    """

    examples: Int[Tensor, " n"]
    labels: Int[Tensor, " n"]
    probabilities: Float[Tensor, "n k"]
    temperature: float
    doubts: Float[Tensor, " n"]

    @property
    def facts(self) -> dict[str, Any]:
        """Figures of them: JSON values only."""
        best, answers = self.probabilities.max(1)
        right = (answers == self.labels).numpy()
        return {
            "examples": len(self.labels),
            "folds": FOLDS,
            "accuracy": round(float(right.mean()), 6),
            "ece": round(reliability(best.double().numpy(), right).expected_error, 6),
            "nll": round(negative_log_likelihood(self.probabilities.double().numpy(), self.labels.numpy()), 6),
            "temperature": round(self.temperature, 6),
        }


def fit_head(
    method: Any, texts: TextEmbeddings, examples: Examples, temperature: float = 100.0, before: Head | None = None
) -> tuple[Head, HeldOut | None]:
    """A calibrated head, and what it says of held-out examples; None where no class has examples of two images.

    Args:
        method: a classifier method, its config or its name; with ``before`` that of the earlier head.
        texts: the vocabulary; classes whose words the model does not know have no query.
        examples: vectors, those of the examples themselves before those of their views.
        temperature: factor of the cosines of texts.
        before: an earlier head of the same classes, whose examples count as well.

    Raises:
        UsageError: where the method cannot use the examples, or cannot go on from the earlier head.
    """
    method, classes = method_of(method), len(texts.vocabulary)
    summing = isinstance(method, SummingMethod) and method.sums_up
    if before is not None:
        if not summing or before.sums is None:
            raise UsageError(_cannot_go_on(method.name))
        check_classifier(before.classifier, examples.model_id, examples.space)
    sums: Sums | None = None
    if isinstance(method, SummingMethod) and summing:
        method = method.settled(texts, examples, temperature) if before is None else method
        sums = Sums.counted(method, examples, classes)
        sums = sums if before is None or before.sums is None else before.sums + sums
        of_sums = partial(method.of_sums, texts, temperature=temperature, space=examples.space)
        whole = of_sums(sums)
        without = partial(_without, sums, method, of_sums, classes)
        doubts = left_out_doubts(sums, *examples[:2], _images(examples), method.weights_of(examples))
    else:
        fit = partial(method.fit, texts, temperature=temperature)
        whole = fit(examples)
        without = partial(_fitted_without, fit)
        doubts = _doubts_without_sums(examples, classes)
    judged = _held_out(without, examples)
    scale = _scale(judged, examples.labels, before)
    held = None
    if judged is not None:
        held = HeldOut(
            judged[0], examples.labels[judged[0]], (scale * judged[1]).softmax(1), 1 / scale, doubts[judged[0]]
        )
    facts = {
        "method": CLASSIFIERS.name_of(method) or method.name,
        "settings": asdict(method) if is_dataclass(method) and not isinstance(method, type) else {},
        "temperature": 1 / scale,
        **({} if held is None else {"held_out": held.facts}),
    }
    return Head(_scaled(whole, scale), int(examples.vectors.shape[1]), sums, facts), held


def method_of(method: Any) -> ClassifierMethod:
    """A classifier method by its name, its config, or as it is.

    Raises:
        UsageError: where it is unknown.
    """
    made = build(CLASSIFIERS, method)
    if not isinstance(made, ClassifierMethod):
        raise UsageError(f"method must be one of {', '.join(CLASSIFIERS.names)}; got {method!r}")
    return made


def _without(
    sums: Sums,
    method: SummingMethod,
    of_sums: Callable[[Sums], Classifier],
    classes: int,
    examples: Examples,
    out: Bool[Tensor, " n"],
) -> Classifier:
    """The classifier of all sums but those of some examples."""
    return of_sums(sums - Sums.counted(method, examples.chosen(out), classes))


def _fitted_without(fit: Callable[[Examples], Classifier], examples: Examples, out: Bool[Tensor, " n"]) -> Classifier:
    """The classifier of all examples but some."""
    return fit(examples.chosen(~out))


def _firsts(examples: Examples) -> int:
    """Number of the examples themselves, which stand before their views."""
    return len(examples.labels) if examples.things is None else int(examples.things.max()) + 1


def _images(examples: Examples) -> Int[Tensor, " n"]:
    """The image of each example, its own where none is named."""
    return torch.arange(len(examples.labels)) if examples.groups is None else examples.groups


def _doubts_without_sums(examples: Examples, classes: int) -> Float[Tensor, " m"]:
    """The doubts of the examples themselves, as :attr:`densevl.classifiers.classes.Head.known` has them without sums.

    Args:
        examples: the examples themselves stand before their views.
        classes: number of classes.
    """
    own = examples.chosen(torch.arange(_firsts(examples)))
    kept = own.vectors.half().float()  # as the evidence keeps them
    return left_out_doubts(Sums.of(kept, own.labels, classes), kept, own.labels, _images(own))


def _held_out(without: Callable[[Examples, Bool[Tensor, " n"]], Classifier], examples: Examples) -> Judged | None:
    """The number of each example that can be judged, and its logits; None where none can.

    Where every class is in one image alone, a class is judged by its text, or by what was known of it before.

    Args:
        without: the classifier of all examples but some.
        examples: the examples themselves stand before their views.
    """
    firsts = _firsts(examples)
    for labels in (examples.labels, torch.zeros_like(examples.labels)):
        numbers = fold_numbers(labels, examples.groups)
        judged = (numbers[:firsts] >= 0).nonzero().flatten()
        if not len(judged):
            continue
        logits: Tensor | None = None
        try:
            for number in numbers[judged].unique().tolist():
                own = judged[numbers[judged] == number]
                found = without(examples, numbers == number)(examples.vectors[own])
                logits = found.new_zeros(firsts, found.shape[1]) if logits is None else logits
                logits[own] = found
        except UsageError:  # nothing is known of a class without its examples
            continue
        assert logits is not None
        return judged, logits[judged]
    return None


def _scale(held: Judged | None, labels: Int[Tensor, " examples"], before: Head | None) -> float:
    """The factor of logits at which probabilities are right as often as they say."""
    facts = {} if before is None else before.facts
    old, count = float(facts.get("temperature", 1.0)), int(facts.get("held_out", {}).get("examples", 0))
    if held is None:
        return 1 / old
    judged, logits = held
    new = 1 / fitted_weights([logits.clamp(min=-1e4)], labels[judged], (1.0,))[0][0]
    share = len(judged) / (len(judged) + count)
    return 1 / math.exp(share * math.log(new) + (1 - share) * math.log(old))


def _scaled(classifier: Classifier, scale: float) -> Classifier:
    """A classifier with other logits in the same order."""
    if isinstance(classifier, LinearClassifier):
        return replace(classifier, weight=classifier.weight * scale, bias=classifier.bias * scale)
    return SumClassifier((classifier,), (scale,))


def _cannot_go_on(name: str) -> str:
    return (
        f"{name} keeps no sums of its examples, so nothing can be added to what it learnt; teach all examples "
        "together, or take gda-prior"
    )
