"""Merging of neighbouring cells of a map into ever larger pieces, by Ward's criterion.

Source: Ward, Hierarchical Grouping to Optimize an Objective Function, JASA 1963, with neighbours alone being merged. Of
all pairs of neighbouring pieces the one is merged whose merging adds least to the sum of squared distances to the means
of the pieces. With n cells and the mean m of a piece, that is::

    cost(a, b) = n_a n_b / (n_a + n_b) · |m_a − m_b|²
"""

import heapq
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from densevl.core.geometry import Size

__all__ = ["Merges", "merge_cells"]


@dataclass(frozen=True, eq=False)
class Merges:
    """The pieces of a map, one inside of the other. Pieces 0 to n − 1 are the cells in reading order; piece n + i is
    made by merge i, and the last one is the whole map.

    Attributes:
        children: the two pieces that each merge joins.
        costs: of each merge; none is below the one before it by more than rounding, save where a merge made neighbours
            of alike pieces that were none.
    """

    children: Int[np.ndarray, "m 2"]
    costs: Float[np.ndarray, " m"]

    @property
    def cells(self) -> int:
        """Number of cells."""
        return len(self.children) + 1

    def members(self) -> list[Int[np.ndarray, " _"]]:
        """The cells of every piece."""
        found = [np.array([cell]) for cell in range(self.cells)]
        for first, second in self.children:
            found.append(np.concatenate([found[first], found[second]]))
        return found

    def ends(self) -> Float[np.ndarray, " p"]:
        """The cost of the merge in which each piece ends; infinite for the whole map."""
        ends = np.full(self.cells + len(self.children), np.inf)
        ends[self.children] = self.costs[:, None]
        return ends


def merge_cells(vectors: Float[np.ndarray, "n c"], grid: Size) -> Merges:
    """Merge the cells of a map until one piece is left.

    Args:
        vectors: of the cells in reading order.
        grid: (rows, columns) of the map.
    """
    means = list(vectors.astype(np.float64))
    counts = [1] * len(means)
    neighbours = _neighbours(grid)
    queue = [(_cost(means, counts, a, [b])[0], a, b) for a, near in enumerate(neighbours) for b in near if a < b]
    heapq.heapify(queue)
    children, costs = [], []
    gone: set[int] = set()
    while queue:
        cost, a, b = heapq.heappop(queue)
        if a in gone or b in gone:
            continue
        new = len(means)
        gone |= {a, b}
        children.append((a, b))
        costs.append(cost)
        counts.append(counts[a] + counts[b])
        means.append((counts[a] * means[a] + counts[b] * means[b]) / counts[new])
        near = (neighbours[a] | neighbours[b]) - {a, b}
        neighbours.append(near)
        for other in near:
            neighbours[other] = neighbours[other] - {a, b} | {new}
        around = sorted(near)
        for value, other in zip(_cost(means, counts, new, around), around, strict=True):
            heapq.heappush(queue, (value, other, new))
    return Merges(np.array(children, int).reshape(-1, 2), np.array(costs))


def _cost(means: list[np.ndarray], counts: list[int], piece: int, others: list[int]) -> list[float]:
    """The cost of merging a piece with each of several others."""
    if not others:
        return []
    apart = np.square(np.stack([means[other] for other in others]) - means[piece]).sum(1)
    sizes = np.array([counts[other] for other in others])
    return list((sizes * counts[piece] / (sizes + counts[piece]) * apart).tolist())


def _neighbours(grid: Size) -> list[set[int]]:
    """The cells above, below and beside each cell."""
    cells = np.arange(grid[0] * grid[1]).reshape(grid)
    found: list[set[int]] = [set() for _ in range(cells.size)]
    for first, second in ((cells[:, :-1], cells[:, 1:]), (cells[:-1], cells[1:])):
        for a, b in zip(first.flatten().tolist(), second.flatten().tolist(), strict=True):
            found[a].add(b)
            found[b].add(a)
    return found
