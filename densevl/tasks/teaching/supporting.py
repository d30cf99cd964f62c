"""Evidence for taught classes: the examples with their places, and the doubts of those that were held out."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from densevl.classifiers.classes import Head
from densevl.classifiers.contracts import Examples as LabelledVectors
from densevl.classifiers.evidence import Evidence
from densevl.core.geometry import Box, Size
from densevl.core.images import encoded_size
from densevl.datasets.examples import Example
from densevl.tasks.teaching.fitting import HeldOut

__all__ = ["box_of", "supported", "with_cell_evidence", "with_evidence"]

CELLS = 10_000
"""Held-out cells that are kept."""


def with_evidence(
    head: Head,
    held: HeldOut | None,
    vectors: LabelledVectors,
    examples: Sequence[Example],
    before: Head | None = None,
) -> Head:
    """A head with what supports its answers.

    Args:
        head: of all classes.
        held: what it says of held-out examples; None where none could be held out.
        vectors: of the examples, and after them those of their views.
        examples: as they were read.
        before: the head that it goes on from, whose evidence counts as well.
    """
    own = vectors.chosen(torch.arange(len(vectors.labels)) < len(examples))
    files = [str(example.image) for example in examples]
    sizes = {file: encoded_size(Path(file).read_bytes(), file) for file in dict.fromkeys(files)}
    boxes = [box_of(example, sizes[file]) for example, file in zip(examples, files, strict=True)]
    return supported(head, held, own, boxes, files, before)


def supported(
    head: Head,
    held: HeldOut | None,
    own: LabelledVectors,
    boxes: Sequence[Box],
    files: Sequence[str],
    before: Head | None = None,
) -> Head:
    """A head with its examples as evidence.

    Args:
        head: of all classes.
        held: what it says of held-out examples; None where none could be held out.
        own: vectors of the examples.
        boxes: of each in its image.
        files: the image of each, or where else it is from.
        before: the head that it goes on from, whose evidence counts as well.
    """
    images = tuple(dict.fromkeys(files))
    numbers = {image: number for number, image in enumerate(images)}
    none = torch.zeros(0)
    scores, truths, doubts = none, none.long(), none
    if held is not None:
        scores = 1 - held.probabilities.gather(1, held.labels[:, None])[:, 0]
        truths, doubts = held.labels, held.doubts
    found = Evidence(
        own.vectors.half(),
        own.labels,
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.tensor([numbers[file] for file in files]),
        images,
        scores.float(),
        truths,
        doubts[doubts.isfinite()].float(),
    )
    if before is None:
        return replace(head, evidence=found)
    return replace(
        head, evidence=None if before.evidence is None else before.evidence.drifted(_drift(before, held, own)) + found
    )


def _drift(before: Head, held: HeldOut | None, own: LabelledVectors) -> float:
    """How many times the doubts by an earlier head have become since, as examples of its classes show; 1 without any.

    The doubt of known things grows with the number of examples; see :mod:`densevl.classifiers.unknown`.
    """
    known = before.sums
    if held is None or known is None:
        return 1.0
    old = (
        (known.counts > 0)[held.labels.clamp(max=len(known) - 1)] & (held.labels < len(known)) & held.doubts.isfinite()
    )
    if not old.any():
        return 1.0
    earlier = before.known.doubts(own.vectors[held.examples[old]].double())
    return float(held.doubts[old].median() / earlier.median().clamp(min=torch.finfo(torch.float64).tiny))


def with_cell_evidence(head: Head, held: HeldOut | None, before: Head | None = None) -> Head:
    """A head for pixels with what supports its answers: how held-out cells were answered, a sample of them.

    Args:
        head: of all classes.
        held: what it says of held-out cells; None where none could be held out.
        before: the head that it goes on from, whose evidence counts where there is no newer one.
    """
    if held is None:
        return replace(head, evidence=None if before is None else before.evidence)
    rows = torch.linspace(0, len(held.labels) - 1, min(len(held.labels), CELLS)).long()
    scores = 1 - held.probabilities[rows].gather(1, held.labels[rows, None])[:, 0]
    none, nowhere = torch.zeros(0, head.dim).half(), torch.zeros(0, dtype=torch.long)
    evidence = Evidence(
        none, nowhere, torch.zeros(0, 4), nowhere, (), scores.float(), held.labels[rows], held.doubts[rows].float()
    )
    return replace(head, evidence=evidence)


def box_of(example: Example, size: Size) -> Box:
    """The box of an example in its image: its own, or that of its mask or its point.

    Args:
        example: a box, a mask, a point or a whole image.
        size: (height, width) of the image.

    Raises:
        UsageError: where it lies outside of the image.
    """
    if example.box is not None:
        return example.box_in(size)
    mask, point = example.mask_in(size), example.point_in(size)
    if mask is not None:
        rows, columns = mask.any(1).nonzero().flatten().tolist(), mask.any(0).nonzero().flatten().tolist()
        return float(columns[0]), float(rows[0]), columns[-1] + 1.0, rows[-1] + 1.0
    if point is not None:
        return point[0], point[1], min(point[0] + 1, size[1]), min(point[1] + 1, size[0])
    return example.box_in(size)
