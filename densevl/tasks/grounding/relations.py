"""Probabilities of boxes under relations and superlatives.

Source: ReCLIP (Subramanian et al., ACL 2022, https://arxiv.org/abs/2204.05991), code at commit 3ed4f47. With p(i) for
how well box i suits the words of a phrase, and r(i, j) for whether box i lies so to box j,

    relation:      p(i) · Σ_j q(j) · r(i, j),   q being what the same rules say of the landmark,
    superlative:   p(i) · Σ_j p(j) · r(i, j),   each as a comparison with all others that suit the words,

each time divided by the sum. Differences: a box is not inside itself; where no box fulfils a relation it is left out
and said so, where the code divides by zero; "middle", "second from left", heights, widths and nearness are ours.

Nearness is a comparison with the others that suit the words, too: "the cup near the lamp" is the nearest cup. With
g(i, j) for the gap between two boxes, the length of the shortest line from one to the other, in diagonals of the image,

    near:  p(i) · Σ_j q(j) · exp(-g(i, j) / REACH) · F(i, j),
    far:   p(i) · Σ_j q(j) · (1 - exp(-g(i, j) / REACH)) · F(i, j),      j ≠ i,

F(i, j) being the fraction of the other boxes, weighted by p, that lie no nearer to j (for "far": no farther from it).

Convention: boxes are xyxy pixels, half-open; y grows downwards, so that the box above has the smaller y. Comparisons
are strict, of centres, areas, heights or widths of boxes.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from densevl.core.regions import shared_areas
from densevl.tasks.grounding.phrase import Phrase, Superlative

__all__ = ["RELATIONS", "Resolution", "Step", "between", "gaps", "nearness", "resolve"]

Pairs = Float[Tensor, "n n"]

NEGLIGIBLE = 1e-6
"""A landmark of a lower probability changes nothing that could be seen."""

REACH = 0.1
"""Gap, in diagonals of the image, at which nearness falls to 1/e."""


def _compare(values: Tensor) -> Tensor:
    """1 where the value of i is smaller than that of j."""
    return (values[:, None] < values[None, :]).to(values.dtype)


def _centres(boxes: Tensor) -> Tensor:
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def _areas(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).prod(1)


def _sides(boxes: Tensor, axis: int) -> Tensor:
    return boxes[:, 2 + axis] - boxes[:, axis]


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
    "taller": lambda boxes: _compare(-_sides(boxes, 1)),
    "shorter": lambda boxes: _compare(_sides(boxes, 1)),
    "wider": lambda boxes: _compare(-_sides(boxes, 0)),
    "narrower": lambda boxes: _compare(_sides(boxes, 0)),
    "inside": _inside,
    "middle": _middle,
}
"""By its name, how a relation is read off boxes: 1 at (i, j) where box i is so to box j; for ``inside`` the
fraction of i that lies in j."""


def gaps(boxes: Float[Tensor, "n 4"]) -> Pairs:
    """Length of the shortest line between each two boxes, in pixels; 0 where they touch or overlap."""
    apart = torch.maximum(boxes[:, None, :2] - boxes[None, :, 2:], boxes[None, :, :2] - boxes[:, None, 2:])
    return apart.clamp(min=0).square().sum(-1).sqrt()


def nearness(
    gap: Float[Tensor, "n n"], first: Float[Tensor, " n"], second: Float[Tensor, " n"], far: bool = False
) -> Float[Tensor, " n"]:
    """Σ_j second(j) · nearness of each box to j · fraction of the others, weighted by ``first``, that are no nearer.

    Args:
        gap: between each two boxes, in diagonals of the image.
        first: how well each box suits the words.
        second: probability of each box to be the landmark; below :data:`NEGLIGIBLE` it is left out.
        far: True for how far it is, and the others that are no farther.
    """
    total = torch.zeros_like(first)
    for j in (second > NEGLIGIBLE).nonzero().flatten().tolist():
        near = (-gap[:, j] / REACH).exp()
        degree, place = (1 - near, -gap[:, j]) if far else (near, gap[:, j])
        rivals = first.clone()
        rivals[j] = 0
        before = torch.cat([first.new_zeros(1), rivals[place.argsort()].cumsum(0)])
        nearer = before[torch.searchsorted(place.sort().values, place.contiguous())]
        others = rivals.sum() - rivals
        fraction = torch.where(others > NEGLIGIBLE, 1 - nearer / others.clamp(min=NEGLIGIBLE), 1).clamp(0, 1)
        degree = degree * fraction
        degree[j] = 0
        total += second[j] * degree
    return total


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


def resolve(
    phrase: Phrase,
    boxes: Float[Tensor, "n 4"],
    ask: Callable[[str], Float[Tensor, " n"]],
    size: tuple[int, int] | None = None,
) -> Resolution:
    """The probability that each box is what the phrase means, relations and superlatives included.

    Args:
        phrase: the parsed expression.
        boxes: of all candidates, landmarks among them.
        ask: the probability of each box for a text without relations, summing to one.
        size: (height, width) of the image, by which "near" is measured; None for that of the smallest box round all.

    Returns:
        Probabilities in float64: products of small ones must not vanish.
    """
    boxes = boxes.double()
    uniform = boxes.new_full((len(boxes),), 1 / max(1, len(boxes)))
    current = ask(phrase.text).to(boxes) if phrase.text else uniform
    steps = [Step(phrase.text or "anything", current)]
    for relation in phrase.relations:
        landmarks = [resolve(landmark, boxes, ask, size).probabilities for landmark in relation.landmarks]
        if relation.kind == "between":
            factor = between(boxes, *landmarks)
        elif relation.kind in ("near", "far"):
            gap = gaps(boxes) / _diagonal(boxes, size)
            factor = nearness(gap, current, landmarks[0], far=relation.kind == "far")
        else:
            factor = RELATIONS[relation.kind](boxes) @ landmarks[0]
        steps.append(Step(str(relation), factor, fulfilled=float(current @ factor)))
        current = _apply(current, steps)
    for superlative in phrase.superlatives:
        steps.append(Step(str(superlative), _stands_out(superlative, boxes, current)))
        current = _apply(current, steps)
    return Resolution(current, tuple(steps))


def _diagonal(boxes: Tensor, size: tuple[int, int] | None) -> float:
    """Length of the diagonal of the image, or of the smallest box round all boxes."""
    sides = boxes[:, 2:].max(0).values - boxes[:, :2].min(0).values
    return math.hypot(*(sides.tolist() if size is None else size))


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
