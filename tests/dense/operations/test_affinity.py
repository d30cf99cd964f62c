"""Affinities against plain loops in float64."""

import math

import pytest
import torch
import torch.nn.functional as F

from densevl.dense.operations.affinity import MEASURES, gate, gather, pair_weights, pool, token_cosines


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def softmax(row):
    top = max(row)
    powers = [math.exp(value - top) for value in row]
    return [power / sum(powers) for power in powers]


def compared(x, y, measure):
    """The measure of two lists of tokens, pair by pair."""
    if measure == "cosine":
        return [[cosine(a, b) for b in y] for a in x]
    scale = 1 / math.sqrt(len(x[0])) if measure == "scaled" else 1.0
    return [[scale * sum(p * q for p, q in zip(a, b, strict=True)) for b in y] for a in x]


def gated(scores, beta, gamma):
    """The gate of a matrix, row by row."""
    mean = sum(map(sum, scores)) / sum(map(len, scores))
    rows = []
    for i, row in enumerate(scores):
        above = [(value - beta * mean) * gamma for value in row]
        above = [value if value >= 0 else -math.inf for value in above]
        rows.append(
            softmax(above if max(above) > -math.inf else [0.0 if i == j else -math.inf for j in range(len(row))])
        )
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("biased", [True, False])
def test_softmax_attention(measure, biased):
    x, y, values, bias = draw(2, 3, 5, 4), draw(2, 3, 6, 4, seed=1), draw(2, 3, 6, 7, seed=2), draw(5, 6, seed=3)
    found = pair_weights(x, y, measure, bias if biased else None)
    for b in range(2):
        for h in range(3):
            rows = compared(x[b, h].tolist(), y[b, h].tolist(), measure)
            rows = [[s + biased * float(bias[i, j]) for j, s in enumerate(row)] for i, row in enumerate(rows)]
            torch.testing.assert_close(found[b, h], torch.tensor([softmax(row) for row in rows], dtype=torch.float64))
    gathered = gather(x, y, values, measure, bias if biased else None)
    torch.testing.assert_close(gathered, found @ values)


@pytest.mark.parametrize(("beta", "gamma"), [(1.2, 3.0), (0.0, 10.0), (1.0, 1.0)])
def test_gate(beta, gamma):
    scores = draw(3, 5, 5)
    found = gate(scores, beta, gamma)
    for one, expected in zip(found, scores.tolist(), strict=True):
        torch.testing.assert_close(one, gated(expected, beta, gamma))
    rows = torch.linspace(1, 9, 5, dtype=torch.float64)[:, None]
    by_row = gate(scores, beta, rows)
    torch.testing.assert_close(by_row[1, 2], gate(scores, beta, 5.0)[1, 2])


def test_a_gate_of_heads_has_one_mean_for_each_image():
    scores = draw(2, 3, 4, 4)
    found = gate(scores, 1.1, 2.0)
    for image, expected in zip(scores, found, strict=True):
        wide = image.flatten(0, 1).tolist()
        mean = sum(map(sum, wide)) / (len(wide) * 4)
        above = torch.tensor(wide).double() - 1.1 * mean
        torch.testing.assert_close(expected.flatten(0, 1) > 0, (above >= 0) | (expected.flatten(0, 1) == 1))
    torch.testing.assert_close(gate(scores[:1], 1.1, 2.0), found[:1])


def test_images_share_a_mean_where_that_is_asked_for():
    scores = torch.cat([draw(1, 4, 4), draw(1, 4, 4, seed=1) + 2])
    together = gate(scores, 1.2, 3.0, together=True)
    torch.testing.assert_close(
        together, gate(scores.reshape(1, 8, 4), 1.2, 3.0, own=torch.arange(4).repeat(2)).view(2, 4, 4)
    )
    assert not torch.allclose(together, gate(scores, 1.2, 3.0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_image_of_one_colour_keeps_each_token_by_itself(dtype):
    scores = token_cosines(torch.ones(1, 6, 4, dtype=dtype))
    torch.testing.assert_close(gate(scores, 1.2, 3.0), torch.eye(6, dtype=dtype)[None])
    shifted = gate(scores[:, 2:5], 1.2, 3.0, own=torch.tensor([2, 3, 4]))
    torch.testing.assert_close(shifted, torch.eye(6, dtype=dtype)[None, 2:5])


def test_cosines():
    x, y = draw(2, 3, 4), draw(2, 5, 4, seed=1)
    expected = torch.tensor([compared(a, b, "cosine") for a, b in zip(x.tolist(), y.tolist(), strict=True)])
    torch.testing.assert_close(token_cosines(x, y), expected.double())
    torch.testing.assert_close(token_cosines(x), F.normalize(x, dim=2) @ F.normalize(x, dim=2).mT)


def test_pool():
    weights, features = draw(2, 3, 4).abs(), draw(2, 4, 5, seed=1)
    weights[0, 1] = 0
    found = pool(weights, features)
    for b in range(2):
        for i in range(3):
            total = sum(weights[b, i].tolist()) + 1e-6
            expected = sum(weights[b, i, j] * features[b, j] for j in range(4)) / total
            torch.testing.assert_close(found[b, i], expected)
    assert (found[0, 1] == 0).all()
