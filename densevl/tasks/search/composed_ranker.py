"""Ranking by the things that a query names: a region scores as itself, with its image's others, and all together.

The score of a region is the mean of two numbers: the cosine of the query with the region composed as
:mod:`densevl.regions.composition` says, which is ComCLIP's, and the mean cosine of the phrases of the query with their
parts, which is ours. On pictures of two things the first hardly tells a red circle and a blue square from a blue circle
and a red square, and the second does.
"""

import torch
from jaxtyping import Float32
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.regions.composition import composed, parts_of_regions
from densevl.tasks.search.scan import NOT_FINITE, best_rows
from densevl.tasks.search.search import Searched

__all__ = ["ComposedRanker"]


class ComposedRanker:
    """Ranks all regions of an index for one query that names several things.

    Args:
        index: where to look; every region is looked at.
        words: unit vectors of the phrases of the query, the one for the region itself first.

    Raises:
        UsageError: where a phrase is not finite.
    """

    def __init__(self, index: Searched, words: Float32[Tensor, "p d"]) -> None:
        if not words.isfinite().all():
            raise UsageError("a phrase is not finite, so nothing can be compared with it; look at the weights")
        self.index, self.words = index, words.detach().float().cpu()

    def __call__(self, queries: Float32[Tensor, "q d"], most: int) -> list[tuple[Tensor, Tensor]]:
        """Scores and rows of the best regions of each query; see :data:`densevl.tasks.search.search.Ranker`."""
        scores, rows = [torch.zeros(0, len(queries))], [torch.zeros(0, dtype=torch.int64)]
        start = 0
        for part in self.index.parts:
            live = self.index.live[start : start + len(part)].nonzero().flatten()
            order = live[part.image_rows[live].argsort(stable=True)]
            counts = part.image_rows[order].unique_consecutive(return_counts=True)[1].tolist()
            for own in order.split(counts):
                first, last = int(own.min()), int(own.max())
                vectors = part.vectors[first : last + 1][own - first]
                if not vectors.isfinite().all():
                    raise UsageError(NOT_FINITE)
                found = parts_of_regions(vectors, self.words)
                together = composed(vectors, found, self.words) @ queries.mT
                single = (found * self.words).sum(-1).mean(-1, keepdim=True)
                scores.append((together + single) / 2)
                rows.append(start + own)
            start += len(part)
        every, places = torch.cat(scores), torch.cat(rows)
        return [best_rows(one, places, most) for one in every.mT]
