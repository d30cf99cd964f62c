import pytest
import torch
import torch.nn.functional as F

from densevl.core.errors import UsageError
from densevl.dense.operations import graph
from densevl.dense.operations.graph import NearestGraph, conjugate_gradients, nearest_graph, propagate


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def dense(made):
    """The matrix of a graph, by its product with the identity."""
    return made.neighbours(torch.eye(len(made.nearest)))


def plain_graph(descriptors, places, count, gamma, sigma, power=1):
    """The same by loops, in double precision."""
    unit, places = F.normalize(descriptors.double(), dim=1), places.double()
    weights = torch.zeros(len(unit), len(unit), dtype=torch.float64)
    for i, one in enumerate(unit):
        cosines = unit @ one
        for j in cosines.argsort(descending=True)[:count].tolist():
            if i != j:
                weights[i, j] = max(0, cosines[j]) ** gamma * torch.exp(
                    -sigma * (places[i] - places[j]).norm() ** power
                )
    return weights + weights.T


@pytest.mark.parametrize("at_once", [graph.COSINES_AT_ONCE, 50])
@pytest.mark.parametrize("count", [1, 4, 400])
def test_the_nearest_are_joined_both_ways(monkeypatch, count, at_once):
    monkeypatch.setattr(graph, "COSINES_AT_ONCE", at_once)
    descriptors, places = draw(23, 5), 10 * draw(23, 2, seed=1)
    made = nearest_graph(descriptors, places, count, gamma=3, sigma=0.01)
    expected = plain_graph(descriptors, places, count, 3, 0.01)
    torch.testing.assert_close(dense(made), expected.float(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(made.degrees[:, 0], expected.sum(1).float(), rtol=1e-4, atol=1e-6)


def test_powers_of_cosines_and_distances():
    descriptors, places = draw(12, 5), 10 * draw(12, 2, seed=1)
    found = dense(nearest_graph(descriptors, places, 5, gamma=2, sigma=0.02, power=1.5))
    expected = plain_graph(descriptors, places, 5, 2, 0.02, 1.5)
    torch.testing.assert_close(found, expected.float(), rtol=1e-4, atol=1e-6)


def test_scores_of_a_graph_are_the_solution_of_its_system():
    made = nearest_graph(draw(40, 6), draw(40, 2), 9)
    seeds, alpha = draw(40, 3, seed=2), 0.9
    found = propagate(made.neighbours, made.degrees, seeds, alpha, steps=200)
    weights = dense(made).double()
    scale = weights.sum(1).rsqrt()
    system = torch.eye(40, dtype=torch.float64) - alpha * scale[:, None] * weights * scale
    expected = torch.linalg.solve(system, seeds.double())
    torch.testing.assert_close(found, expected.float(), rtol=1e-4, atol=1e-4)
    few = propagate(made.neighbours, made.degrees, seeds, alpha, steps=3)
    assert (few - expected).abs().max() > 1e-2


def test_a_node_without_an_edge_keeps_its_scores():
    made = NearestGraph.of(torch.tensor([[1], [0], [2]]), torch.tensor([[1.0], [1.0], [0.0]]))
    found = propagate(made.neighbours, made.degrees, torch.tensor([[1.0], [0.0], [5.0]]), 0.5, steps=10)
    torch.testing.assert_close(found[:, 0], torch.tensor([4 / 3, 2 / 3, 5.0]))


def test_conjugate_gradients_solve_each_system_by_itself():
    half = draw(12, 12).double()
    matrix = half @ half.T + torch.eye(12)
    targets = draw(12, 4, seed=1).double()
    targets[:, 1] = 0
    found = conjugate_gradients(lambda x: matrix @ x, targets, steps=60)
    torch.testing.assert_close(found, torch.linalg.solve(matrix, targets))
    assert (found[:, 1] == 0).all()
    one = conjugate_gradients(lambda x: matrix @ x, targets[:, 2:3], steps=5)
    torch.testing.assert_close(conjugate_gradients(lambda x: matrix @ x, targets, steps=5)[:, 2:3], one)
    across = conjugate_gradients(lambda x: x @ matrix, targets.T, steps=60, along=1)
    torch.testing.assert_close(across, found.T)


def test_a_system_stops_at_its_tolerance():
    matrix = torch.diag(torch.arange(1.0, 9))
    targets = torch.stack([torch.eye(8)[0], torch.ones(8)], dim=1)
    products = []

    def multiply(x):
        products.append(x[:, 0].clone())
        return matrix @ x

    found = conjugate_gradients(multiply, targets, steps=8, tolerance=0.1)
    assert found[:, 0].tolist() == [1, 0, 0, 0, 0, 0, 0, 0]
    residual = (targets - matrix @ found).norm(dim=0)
    assert residual[1] <= 0.1 * targets[:, 1].norm()
    exact = conjugate_gradients(lambda x: matrix @ x, targets, steps=8)
    assert (found[:, 1] - exact[:, 1]).abs().max() > 1e-3


def test_a_graph_of_no_neighbours_is_refused():
    with pytest.raises(UsageError, match="joined with 1 or more; got 0"):
        nearest_graph(draw(3, 2), draw(3, 2), 0)
