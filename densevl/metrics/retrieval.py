"""Regions and texts that find each other: recall among the first 1, 5 and 10, in both directions.

r2t: each region looks for its text among all texts. t2r: each text looks for its regions among all regions; one of
them is enough. Source of the task: region–text retrieval of CLOC (Chen et al., ICML 2025,
https://arxiv.org/abs/2410.02746), which says no more of its protocol than the data (GRIT). Equal texts are one text
here, one query that is right for all regions that carry it, so that no pair is counted wrong for a twin.

Convention: figures are in percent. Ties are broken by lot and the expected fraction of hits is given, so that a model
that scores all alike gets exactly the figures of chance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from densevl.core.errors import UsageError

__all__ = ["RANKS", "RetrievalScores", "expected_hits", "retrieval_recalls"]

RANKS = (1, 5, 10)
"""Numbers of first answers that are looked at."""


def expected_hits(scores: Float[Tensor, "q g"], right: Bool[Tensor, "q g"], rank: int) -> Float64[Tensor, " q"]:
    """Probability that one of the right answers to each query is among the first, with ties broken by lot.

    With b answers before the best right one, e wrong ones beside it and r right ones, the t = rank - b places that are
    left are filled from these e + r; none of them is right with probability C(e, t) / C(e + r, t).

    Args:
        scores: of every answer to every query, the higher the better.
        right: which answers are right; at least one a query.
        rank: how many answers are looked at.
    """
    best = scores.masked_fill(~right, -torch.inf).amax(1, keepdim=True)
    places = rank - (scores > best).sum(1)
    level = scores == best
    wrong, all_level = (level & ~right).sum(1).double(), level.sum(1).double()
    missed = torch.ones_like(wrong)
    for place in range(rank):
        drawn = (wrong - place).clamp(min=0) / (all_level - place).clamp(min=1)
        missed = torch.where(place < places, missed * drawn, missed)
    return 1 - missed


def retrieval_recalls(
    cosines: Float[Tensor, "n m"], truths: Int[Tensor, " n"], ranks: Sequence[int] = RANKS
) -> dict[str, float]:
    """Recall of region–text retrieval, by ``"r2t R@1"``, …, ``"t2r R@10"``.

    Args:
        cosines: of n regions with m different texts.
        truths: index of the text of each region. Texts of no region are distractors: they are no queries.
        ranks: how many of the first answers are looked at.

    Raises:
        UsageError: where there is no region, a truth is none of the texts, or a cosine is not finite.
    """
    regions, texts = cosines.shape
    if regions == 0 or int(truths.min()) < 0 or int(truths.max()) >= texts:
        raise UsageError(f"retrieval needs at least one region, and the text of each among the {texts} texts")
    if not bool(cosines.isfinite().all()):
        raise UsageError("some cosines of regions and texts are not finite: the embeddings are damaged")
    right = truths.to(cosines.device)[:, None] == torch.arange(texts, device=cosines.device)
    queries = right.any(0)
    directions = {"r2t": (cosines, right), "t2r": (cosines.mT[queries], right.mT[queries])}
    return {
        f"{direction} R@{rank}": 100 * float(expected_hits(scores, answers, rank).mean())
        for direction, (scores, answers) in directions.items()
        for rank in ranks
    }


@dataclass(frozen=True, eq=False)
class RetrievalScores:
    """Recall in both directions, beside that of chance.

    Attributes:
        cosines: of n regions with m different texts.
        truths: index of the text of each region.
    """

    cosines: Float[Tensor, "n m"]
    truths: Int[Tensor, " n"]

    def as_dict(self) -> dict[str, Any]:
        """Values for a JSON file."""
        chance = retrieval_recalls(torch.zeros_like(self.cosines), self.truths)
        return {
            **retrieval_recalls(self.cosines, self.truths),
            "chance": chance,
            "regions": len(self.cosines),
            "texts": len(self.truths.unique()),
        }

    def lines(self) -> list[str]:
        """A row a direction, with chance in brackets."""
        values = self.as_dict()
        lines = [f"{'':15}" + "".join(f"{f'R@{rank}':>8}{'chance':>9}" for rank in RANKS)]
        for direction, name in (("t2r", "text to region"), ("r2t", "region to text")):
            names = [f"{direction} R@{rank}" for rank in RANKS]
            lines.append(f"{name:15}" + "".join(f"{values[key]:8.2f}{values['chance'][key]:9.2f}" for key in names))
        return [*lines, f"({values['regions']} regions and {values['texts']} different texts to choose from)"]
