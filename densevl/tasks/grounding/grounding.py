"""The answer to a referring expression: which region, how sure, and how that came about."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from densevl.core.regions import RegionEmbeddings, Regions
from densevl.tasks.grounding.phrase import Phrase
from densevl.tasks.grounding.relations import Step

__all__ = ["EncodedRegions", "Grounding"]

DOUBTFUL = 0.5
"""Below this presence an expression counts as naming nothing that is there. On scenes, with the mini model, half of the
names of absent things fall below it, and three in a hundred of those that are there."""

UNFULFILLED = 0.05
"""Below this probability a relation counts as one that nothing fulfils."""


@dataclass(frozen=True, eq=False)
class Grounding:
    """The regions of an image, ranked by how well an expression suits them.

    Attributes:
        expression: the text.
        phrase: the text taken apart; simple where relations are switched off.
        regions: the candidates, in the order of the proposals, with masks where they are known.
        parts: score of each region by each model and visual prompt, before subtraction.
        subtracted: what the mean negative caption scores; None where nothing is subtracted.
        scores: the sum of the parts less what is subtracted.
        steps: what words, relations and superlatives each multiply the probability by.
        probabilities: of each region to be the one that is meant; they sum to one.
        presence: fraction of the negative captions, those with a word of the expression apart, that suit no region as
            well as the words of the expression suit their best one; near 1 where it names something that is there. None
            without a bank, or where the words fit anything ("the largest shape"): each caption of another thing suits
            that better, and so would say that it is not there.
        proposals: where the regions come from.
    """

    expression: str
    phrase: Phrase
    regions: Regions
    parts: Mapping[str, Float[Tensor, " n"]]
    subtracted: Float[Tensor, " n"] | None
    scores: Float[Tensor, " n"]
    steps: tuple[Step, ...]
    probabilities: Float[Tensor, " n"]
    presence: float | None
    proposals: str

    @cached_property
    def ranking(self) -> tuple[int, ...]:
        """Indices of the regions, the likeliest first; equal ones in the order of the proposals."""
        return tuple(torch.argsort(self.probabilities, descending=True, stable=True).tolist())

    @property
    def best(self) -> int:
        """Index of the likeliest region."""
        return self.ranking[0]

    @property
    def box(self) -> tuple[float, float, float, float]:
        """The likeliest box, xyxy in pixels, half-open."""
        x0, y0, x1, y1 = self.regions.boxes[self.best].tolist()
        return x0, y0, x1, y1

    @property
    def mask(self) -> Bool[np.ndarray, "H W"] | None:
        """The mask of the likeliest region; None where no mask maker was at hand."""
        return None if self.regions.masks is None else self.regions.masks[self.best].cpu().numpy()

    @property
    def doubtful(self) -> bool:
        """True where the expression seems to name nothing that is there; the ranking is then the least wrong one."""
        unfulfilled = any(step.fulfilled is not None and step.fulfilled < UNFULFILLED for step in self.steps)
        return unfulfilled or (self.presence is not None and self.presence < DOUBTFUL)

    @property
    def not_understood(self) -> tuple[str, ...]:
        """What boxes do not decide, such as "behind the sofa"; the image-text model alone judges it."""
        return self.phrase.not_understood

    def explain(self, top: int | None = None) -> str:
        """A table with a row for each region, the likeliest first: what each part contributes to its probability.

        Scores are added up, subtraction included. Then come the factors of the words and of each relation and
        superlative, and last the probability.

        Args:
            top: how many regions; None for all.
        """
        columns: dict[str, Tensor] = dict(self.parts)
        if self.subtracted is not None:
            columns["subtracted"] = -self.subtracted
        columns["score"] = self.scores
        columns |= {f"{'' if step.used else 'unused: '}{step.name}": step.factor for step in self.steps}
        columns["probability"] = self.probabilities
        rows = [["rank", "box", *columns]]
        for rank, index in enumerate(self.ranking[:top], 1):
            box = " ".join(f"{value:.0f}" for value in self.regions.boxes[index].tolist())
            rows.append([str(rank), box, *(f"{values[index]:.3f}" for values in columns.values())])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        presence = "" if self.presence is None else f"; presence {self.presence:.3f}"
        presence += "; doubtful" if self.doubtful else ""
        presence += f"; not understood: {', '.join(self.not_understood)}" if self.not_understood else ""
        return "\n".join([f"{self.expression!r} read as {self.phrase}; regions: {self.proposals}{presence}", *lines])


@dataclass(frozen=True, eq=False)
class EncodedRegions:
    """The regions of one image as vectors: ask about them any number of times.

    Attributes:
        regions: the candidates, with masks where a mask maker was at hand.
        embeddings: of the regions, by each model.
        proposals: where the regions come from.
        image: the image as given, for drawing.
    """

    regions: Regions
    embeddings: tuple[RegionEmbeddings, ...]
    proposals: str
    image: UInt8[np.ndarray, "H W 3"]
