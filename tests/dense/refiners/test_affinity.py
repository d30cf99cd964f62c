"""Lists of pairs against matrices of all pairs."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from densevl.dense.refiners.affinity import _pool_in_graph, pair_cosines, pairs_within, pool_pairs


def spread(lists: Tensor, grid: tuple[int, int], radius: float) -> Tensor:
    """The matrix "b n n" of what stands in lists "b n k"."""
    index, inside = pairs_within(grid, radius)
    matrix = torch.zeros(len(lists), len(index), len(index))
    for p, q in inside.nonzero().tolist():
        matrix[:, p, index[p, q]] = lists[:, p, q]
    return matrix


@pytest.mark.parametrize("radius", [0, 1, 1.5, 2.9, 9])
def test_partners_are_those_whose_centres_lie_within_reach(radius: float) -> None:
    index, inside = pairs_within((3, 4), radius)
    for p in range(12):
        near = {q for q in range(12) if ((p // 4 - q // 4) ** 2 + (p % 4 - q % 4) ** 2) ** 0.5 <= radius}
        assert sorted(index[p, inside[p]].tolist()) == sorted(near)
    assert (index[~inside] == 0).all()


@pytest.mark.parametrize("radius", [1.5, 2.9, 9])
def test_cosines_are_those_of_all_pairs(radius: float) -> None:
    descriptors = torch.randn(2, 5, 4, 6, requires_grad=True)
    near = spread(torch.ones(2, 24, pairs_within((4, 6), radius)[0].shape[1]), (4, 6), radius)
    whole = pair_cosines(descriptors)
    torch.testing.assert_close(
        whole, F.cosine_similarity(descriptors.flatten(2)[..., None], descriptors.flatten(2)[:, :, None], dim=1)
    )
    listed = pair_cosines(descriptors, radius)
    torch.testing.assert_close(spread(listed, (4, 6), radius), whole * near)
    (expected,) = torch.autograd.grad((whole * near).square().sum(), descriptors)
    (found,) = torch.autograd.grad(listed.square().sum(), descriptors)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_pooling_is_the_power_of_the_matrix() -> None:
    features, _ = torch.randn(3, 7, 4, 5), torch.manual_seed(0)
    index, inside = pairs_within((4, 5), 2.0)
    weights = torch.rand(3, *index.shape) * inside
    matrix = spread(weights, (4, 5), 2.0)
    expected = torch.linalg.matrix_power(matrix, 3) @ features.flatten(2).mT
    pooled = pool_pairs(features, weights, 2.0, 3)
    torch.testing.assert_close(pooled.flatten(2).mT, expected, rtol=1e-4, atol=1e-4)


def test_pairs_of_an_inference_serve_a_training():
    with torch.inference_mode():
        there = pairs_within((5, 7), 1.25)[1]
    again = pairs_within((5, 7), 1.25)[1]
    assert again is there or torch.equal(again, there)
    values = torch.ones(35, there.shape[1], requires_grad=True)
    values[again].sum().backward()
    assert torch.equal(values.grad.bool(), there)


@pytest.mark.parametrize("rounds", [1, 3])
def test_a_graph_pools_as_everybody_does(rounds: int) -> None:
    random = torch.Generator().manual_seed(0)
    features, weights = torch.randn(2, 5, 6, 4, generator=random), torch.rand(2, 24, 21, generator=random)
    weights = weights * pairs_within((6, 4), 2.3)[1]
    found = _pool_in_graph(features, weights, 2.3, rounds)
    torch.testing.assert_close(found, pool_pairs(features, weights, 2.3, rounds))
