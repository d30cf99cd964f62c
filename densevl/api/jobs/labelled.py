"""Regions of an index with names, as evidence for what another region is.

An example that covers a whole image names all of its regions; a box or a mask names each region whose box overlaps it
by more than half, the nearest example first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from densevl.classifiers.contracts import Examples
from densevl.classifiers.neighbours import NeighbourClassifier, Neighbours
from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings
from densevl.core.geometry import Size, box_ious
from densevl.core.regions import RegionEmbeddings
from densevl.core.vocabulary import Vocabulary
from densevl.datasets.examples.example import Example
from densevl.tasks.search import RegionIndex

__all__ = ["LabelledIndex"]

OVERLAP = 0.5
"""IoU above which a region is what a box or a mask names."""


@dataclass(frozen=True, eq=False)
class LabelledIndex:
    """An index, and the classifier of its regions that have names.

    Attributes:
        index: the regions.
        classifier: shares of the names among the nearest of the regions that have one.
        rows: of the index, of the vectors of the classifier.
    """

    index: RegionIndex
    classifier: NeighbourClassifier
    rows: Int[Tensor, " n"]

    @classmethod
    def of(cls, index: RegionIndex, examples: Sequence[Example], neighbours: int = 10) -> "LabelledIndex":
        """The names that examples give to the regions of an index.

        Args:
            index: the regions.
            examples: of images of the index; others are left out.
            neighbours: regions that are asked about another one.

        Raises:
            UsageError: where no region gets a name.
        """
        by_image: dict[Path, list[Example]] = {}
        for example in examples:
            by_image.setdefault(example.image.resolve(), []).append(example)
        rows, names = [], []
        for row in index.live.nonzero().flatten().tolist():
            hit = index.hit(row, 0.0)
            name = _name(by_image.get(Path(hit.image.path).resolve(), []), hit.box, hit.image.size)
            if name is not None:
                rows.append(row)
                names.append(name)
        if not rows:
            raise UsageError(
                f"no region of the index gets a name from the {len(examples)} examples; give examples of its images"
            )
        vocabulary = Vocabulary.from_classes(sorted(set(names)))
        places = {name: place for place, name in enumerate(vocabulary.names)}
        chosen = torch.tensor(rows)
        vectors = torch.cat([part.vectors[0 : len(part)] for part in index.parts])[chosen]
        texts = TextEmbeddings(vectors[:0], torch.zeros(0, dtype=torch.long), vocabulary, index.model_id, "none")
        labels = torch.tensor([places[" ".join(name.split())] for name in names])
        made = Neighbours(neighbours).fit(texts, Examples(vectors, labels, index.model_id))
        return cls(index, made, chosen)

    def answer(self, region: RegionEmbeddings) -> dict[str, Any]:
        """What a region is, how sure, and the regions that speak for it, as values for JSON.

        Args:
            region: one region, embedded by the model of the index.
        """
        vector, names = region.vectors[0].float().cpu(), self.classifier.vocabulary.names
        shares = self.classifier.shares(vector)
        order = shares.argsort(descending=True, stable=True).tolist()
        neighbours = []
        for cosine, place in zip(*(found.tolist() for found in self.classifier.nearest(vector)), strict=True):
            hit = self.index.hit(int(self.rows[place]), cosine)
            box = [round(side, 2) for side in hit.box]
            name = names[int(self.classifier.owners[place])]
            neighbours.append({"name": name, "score": round(cosine, 6), "image": hit.image.path, "box": box})
        return {
            "name": names[order[0]],
            "confidence": round(float(shares[order[0]]), 6),
            "shares": {names[label]: round(float(shares[label]), 6) for label in order if shares[label] > 0},
            "neighbours": neighbours,
        }


def _name(examples: Sequence[Example], box: tuple[float, float, float, float], size: Size) -> str | None:
    """The name that examples of its image give to a region; None for none."""
    best: tuple[float, str | None] = (OVERLAP, None)
    for example in examples:
        whole = example.box is None and example.mask is None
        overlap = 1.0 if whole else float(box_ious([_box(example, size)], box)[0])
        best = max(best, (overlap, example.name), key=lambda one: one[0])
    return best[1]


def _box(example: Example, size: Size) -> tuple[float, float, float, float]:
    mask = example.mask_in(size) if example.box is None else None
    if mask is None:
        return example.box_in(size)
    rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
