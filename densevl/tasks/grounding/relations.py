"""Probabilities of boxes under relations and superlatives.

Source: ReCLIP (Subramanian et al., ACL 2022, https://arxiv.org/abs/2204.05991), code at commit 3ed4f47. With p(i) for
how well box i suits the words of a phrase, and r(i, j) for whether box i lies so to box j,

    relation:      p(i) · Σ_j q(j) · r(i, j),   q being what the same rules say of the landmark,
    superlative:   p(i) · Σ_j p(j) · r(i, j),   each as a comparison with all others that suit the words,

each time divided by the sum. Differences: a box is not inside itself; where no box fulfils a relation it is left out
and said so, where the code divides by zero; "middle" and "second from left" are ours.

Convention: boxes are xyxy pixels, half-open; y grows downwards, so that the box above has the smaller y. Comparisons
are strict, of centres or of the areas of boxes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from densevl.core.regions import shared_areas
from densevl.tasks.grounding.phrase import Phrase, Superlative

__all__ = ["RELATIONS", "Resolution", "Step", "between", "resolve"]

Pairs = Float[Tensor, "n n"]

NEGLIGIBLE = 1e-6
"""A landmark of a lower probability changes nothing that could be seen."""


def _compare(values: Tensor) -> Tensor:
    """1 where the value of i is smaller than that of j."""
    return (values[:, None] < values[None, :]).to(values.dtype)


def _centres(boxes: Tensor) -> Tensor:
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def _areas(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).prod(1)


def _coverage(boxes: Float[Tensor, "n 4"], others: Float[Tensor, "m 4"]) -> Float[Tensor, "n m"]:
    """Fraction of the area of each box that lies in each of the others."""
    return shared_areas(boxes, others) / _areas(boxes)[:, None]


def _inside(boxes: Float[Tensor, "n 4"]) -> Pairs:
    return _coverage(boxes, boxes).fill_diagonal_(0)


def _middle(boxes: Float[Tensor, "n 4"]) -> Pairs:
    """Nearer to the middle of all boxes, along the side where they spread the most."""
    centres = _centres(boxes)
    low, high = centres.min(0).values, centres.max(0).values
    axis = int((high - low).argmax())
    return _compare((centres[:, axis] - (low[axis] + high[axis]) / 2).abs())


RELATIONS: Mapping[str, Callable[[Float[Tensor, "n 4"]], Pairs]] = {
    "left": lambda boxes: _compare(_centres(boxes)[:, 0]),
    "right": lambda boxes: _compare(-_centres(boxes)[:, 0]),
    "above": lambda boxes: _compare(_centres(boxes)[:, 1]),
    "below": lambda boxes: _compare(-_centres(boxes)[:, 1]),
    "bigger": lambda boxes: _compare(-_areas(boxes)),
    "smaller": lambda boxes: _compare(_areas(boxes)),
    "inside": _inside,
    "middle": _middle,
}
"""By its name, how a relation is read off boxes: 1 at (i, j) where box i is so to box j; for ``inside`` the
fraction of i that lies in j."""


def between(
    boxes: Float[Tensor, "n 4"], first: Float[Tensor, " n"], second: Float[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """Σ_jk first(j) · second(k) · the fraction of each box in the smallest box round j and k; all three are different.

    Boxes whose ``first`` is below :data:`NEGLIGIBLE` are left out: with thousands of boxes this is a sum over cubes.
    """
    total = torch.zeros_like(first)
    others = ~torch.eye(len(boxes), dtype=torch.bool, device=boxes.device)
    for j in (first > NEGLIGIBLE).nonzero().flatten().tolist():
        around = torch.cat([boxes[:, :2].minimum(boxes[j, :2]), boxes[:, 2:].maximum(boxes[j, 2:])], dim=1)
        coverage = _coverage(boxes, around) * others * others[j] * others[j][:, None]
        total += first[j] * (coverage @ second)
    return total


@dataclass(frozen=True, eq=False)
class Step:
    """One step towards the probabilities of a phrase.

    Attributes:
        name: what it is, such as ``"left (ring)"``.
        factor: what the probability of each box is multiplied by.
        used: False where no box fulfils it, so that it was left out.
        fulfilled: of a relation, the probability that what suits the words so far fulfils it too; else None.
    """

    name: str
    factor: Float[Tensor, " n"]
    used: bool = True
    fulfilled: float | None = None


@dataclass(frozen=True, eq=False)
class Resolution:
    """The probability of each box, and how it came about: it is the product of the steps' factors, normalised."""

    probabilities: Float[Tensor, " n"]
    steps: tuple[Step, ...]


def resolve(phrase: Phrase, boxes: Float[Tensor, "n 4"], ask: Callable[[str], Float[Tensor, " n"]]) -> Resolution:
    """The probability that each box is what the phrase means, relations and superlatives included.

    Args:
        phrase: the parsed expression.
        boxes: of all candidates, landmarks among them.
        ask: the probability of each box for a text without relations, summing to one.

    Returns:
        Probabilities in float64: products of small ones must not vanish.
    """
    boxes = boxes.double()
    uniform = boxes.new_full((len(boxes),), 1 / max(1, len(boxes)))
    current = ask(phrase.text).to(boxes) if phrase.text else uniform
    steps = [Step(phrase.text or "anything", current)]
    for relation in phrase.relations:
        landmarks = [resolve(landmark, boxes, ask).probabilities for landmark in relation.landmarks]
        if relation.kind == "between":
            factor = between(boxes, *landmarks)
        else:
            factor = RELATIONS[relation.kind](boxes) @ landmarks[0]
        steps.append(Step(str(relation), factor, fulfilled=float(current @ factor)))
        current = _apply(current, steps)
    for superlative in phrase.superlatives:
        steps.append(Step(str(superlative), _stands_out(superlative, boxes, current)))
        current = _apply(current, steps)
    return Resolution(current, tuple(steps))


def _apply(current: Tensor, steps: list[Step]) -> Tensor:
    """The probabilities after the last step, which is marked as unused where no box fulfils it."""
    product = current * steps[-1].factor
    if product.sum() > 0:
        return product / product.sum()
    steps[-1] = replace(steps[-1], used=False)
    return current


def _stands_out(superlative: Superlative, boxes: Tensor, current: Tensor) -> Tensor:
    """Degree to which each box stands out among those that suit the words.

    For the second and later ones, a box counts as one that suits by its probability as a fraction of the best; a box
    gets 1 where exactly as many stand before it as the order asks for, and less the further it is from that.
    """
    before = RELATIONS[superlative.kind](boxes)
    if superlative.order == 1:
        return before @ current
    suits = current / current.max()
    return (1 - (before.mT @ suits - (superlative.order - 1)).abs()).clamp(min=0)
