"""Merging of cells against merges that are looked for among all pairs, each time anew."""

import numpy as np
import pytest

from densevl.regions.mask_makers.ward import merge_cells


def by_hand(vectors, grid):
    """The cells of each piece in the order in which they are made, and the costs."""
    pieces = [{cell} for cell in range(len(vectors))]
    made, costs = [], []

    def touch(first, second):
        places = [{divmod(cell, grid[1]) for cell in piece} for piece in (first, second)]
        return any(abs(a - c) + abs(b - d) == 1 for a, b in places[0] for c, d in places[1])

    def cost(first, second):
        n, m = len(first), len(second)
        apart = vectors[list(first)].mean(0) - vectors[list(second)].mean(0)
        return n * m / (n + m) * float(apart @ apart)

    while len(pieces) > 1:
        pairs = [(a, b) for i, a in enumerate(pieces) for b in pieces[:i] if touch(a, b)]
        first, second = min(pairs, key=lambda pair: cost(*pair))
        costs.append(cost(first, second))
        pieces = [piece for piece in pieces if piece not in (first, second)] + [first | second]
        made.append(first | second)
    return made, costs


@pytest.mark.parametrize("grid", [(4, 5), (1, 7), (6, 3)])
def test_the_cheapest_neighbours_are_merged(grid):
    vectors = np.random.default_rng(0).normal(size=(grid[0] * grid[1], 3))
    merges = merge_cells(vectors, grid)
    made, costs = by_hand(vectors, grid)
    assert [set(piece.tolist()) for piece in merges.members()[merges.cells :]] == made
    np.testing.assert_allclose(merges.costs, costs)


def test_the_merge_in_which_a_piece_ends():
    vectors = np.array([[0.0], [0.1], [5.0], [5.3]])
    merges = merge_cells(vectors, (1, 4))
    assert [set(piece.tolist()) for piece in merges.members()[4:]] == [{0, 1}, {2, 3}, {0, 1, 2, 3}]
    first, second, last = merges.costs
    assert merges.ends().tolist() == [first, first, second, second, last, last, np.inf]


def test_a_single_cell():
    merges = merge_cells(np.ones((1, 2)), (1, 1))
    assert merges.cells == 1
    assert merges.children.shape == (0, 2)
