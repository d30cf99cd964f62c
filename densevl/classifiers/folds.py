"""Settings chosen within the examples: each is judged by examples that a fit did not see.

Published few-shot methods search their settings on a validation split, some of them on the test split. Here the
examples are all that there is: they are cut into folds, each fold is classified by what was learnt from the others, and
the setting with the least mean negative log-likelihood of the right classes is taken. So no image beside the examples
decides anything, and one example a class leaves nothing to choose by.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from densevl.classifiers.contracts import Examples

__all__ = ["FOLDS", "fitted_weights", "fold_numbers", "likelihood_loss", "one_a_thing", "other_folds", "out_of_fold"]

FOLDS = 4
"""Folds of the examples, fewer where no class has as many images."""

PULL = 0.01
"""Weight of the squared distance of the logarithm of each weight from its start: it keeps weights finite where every
held-out example is right anyway."""

STEPS, CLOSE = 50, 1e-4
"""Of Newton's method: how many at most, and the length of one that changes nothing."""


def fold_numbers(
    labels: Int[Tensor, " n"], groups: Int[Tensor, " n"] | None = None, most: int = FOLDS
) -> Int[Tensor, " n"]:
    """The fold of each example: an image is in one fold whole, and each class in as many as can be.

    Images are dealt in their order, those of the most examples first; each goes to the fold that has the fewest
    examples of its classes so far.

    Args:
        labels: class of each.
        groups: which image each is from; what is from one image shares a fold. None where each is from its own.
        most: folds at most.

    Returns:
        Numbers from 0; -1 for an example that is never held out, since its class is in no other fold.
    """
    own = torch.arange(len(labels)) if groups is None else groups.cpu()
    owners = own.unique(return_inverse=True)[1]
    found, classes = labels.cpu().unique(return_inverse=True)
    held = torch.zeros(len(own.unique()), len(found), dtype=torch.float64)
    held.index_put_((owners, classes), torch.ones(1, dtype=torch.float64), accumulate=True)
    loads = torch.zeros(min(most, len(held)), len(found), dtype=torch.float64)
    dealt = torch.zeros(len(held), dtype=torch.long)
    for image in held.sum(1).argsort(descending=True, stable=True).tolist():
        crowded = loads @ (held[image] > 0).double() + 1e-6 * loads.sum(1)
        dealt[image] = crowded.argmin()
        loads[dealt[image]] += held[image]
    alone = (loads > 0).sum(0) < 2
    return torch.where(alone[classes], -1, dealt[owners]).to(labels)


def other_folds(numbers: Int[Tensor, " n"]) -> Bool[Tensor, "m n"]:
    """True where an example may speak for a held-out one: row by row of those that are ever held out."""
    held = numbers[numbers >= 0]
    return held[:, None] != numbers


def out_of_fold(
    examples: Examples, numbers: Int[Tensor, " n"], fit: Callable[[Examples], Callable[[Tensor], Tensor]]
) -> Float[Tensor, "m k"]:
    """Logits of the examples that are ever held out, each by a fit of the other folds, in the order of the examples.

    Args:
        examples: all of them.
        numbers: of :func:`fold_numbers`.
        fit: from examples to what gives logits of vectors.
    """
    held, found = numbers >= 0, None
    for number in numbers[held].unique().tolist():
        out = numbers == number
        logits = fit(examples.chosen(~out))(examples.vectors[out])
        found = logits.new_zeros(len(numbers), logits.shape[1]) if found is None else found
        found[out] = logits
    return examples.vectors.new_zeros(0, 1) if found is None else found[held]


def one_a_thing(examples: Examples) -> Examples:
    """The views of each thing as one example: their mean, made a unit vector; the same where no views are named."""
    if examples.things is None:
        return examples
    pairs = torch.stack([examples.things, examples.labels], dim=1)
    found, places = pairs.unique(dim=0, return_inverse=True)

    def summed(values: Tensor) -> Tensor:
        return values.new_zeros(len(found), *values.shape[1:]).index_add(0, places, values)

    first = torch.full_like(places, len(places))[: len(found)]
    first = first.scatter_reduce(0, places, torch.arange(len(places), device=places.device), "amin")
    return examples.chosen(first)._replace(
        vectors=F.normalize(summed(examples.vectors), dim=1),
        weights=None if examples.weights is None else summed(examples.weights),
        captions=None if examples.captions is None else F.normalize(summed(examples.captions), dim=1),
    )


def likelihood_loss(logits: Float[Tensor, "n k"], labels: Int[Tensor, " n"]) -> float:
    """Mean negative log-likelihood of the right classes."""
    return float(F.cross_entropy(logits, labels))


def fitted_weights(
    parts: Sequence[Float[Tensor, "n k"]], labels: Int[Tensor, " n"], start: Sequence[float]
) -> tuple[tuple[float, ...], float]:
    """Weights above 0 of several logits whose weighted sum says the right classes best, and the loss that they leave.

    The loss is :func:`likelihood_loss` and a weak pull of the logarithms of the weights to their start. It is minimised
    over these logarithms by Newton's method with the covariances of the parts, which never point uphill, in place of
    the second derivatives.

    Args:
        parts: logits of the held-out examples; below -1e4 they count as -1e4.
        labels: class of each.
        start: weight of each part to begin with, above 0.
    """
    stacked = torch.stack(list(parts)).double().clamp(min=-1e4)
    right = stacked[:, torch.arange(len(labels), device=labels.device), labels]
    begin = torch.tensor(list(start), dtype=stacked.dtype, device=stacked.device).log()
    pull = 2 * PULL * torch.eye(len(begin), dtype=stacked.dtype, device=stacked.device)

    def loss(moved: Float[Tensor, " p"]) -> Float[Tensor, ""]:
        logits = ((begin + moved).exp()[:, None, None] * stacked).sum(0)
        return F.cross_entropy(logits, labels) + PULL * moved.square().sum()

    moved = torch.zeros_like(begin)
    least = loss(moved)
    for _ in range(STEPS):
        weights = (begin + moved).exp()
        shares = (weights[:, None, None] * stacked).sum(0).softmax(1)
        means = (shares * stacked).sum(2)
        covariance = ((shares * stacked).flatten(1) @ stacked.flatten(1).mT - means @ means.mT) / len(labels)
        slope = weights * (means - right).mean(1) + pull @ moved
        step = -torch.linalg.solve(weights[:, None] * covariance * weights + pull, slope)
        step = step / step.norm().clamp(min=1)
        while step.norm() > CLOSE and (value := loss(moved + step)) > least:
            step = step / 2
        if step.norm() <= CLOSE:
            break
        moved, least = moved + step, value
    return tuple((begin + moved).exp().tolist()), float(least)
