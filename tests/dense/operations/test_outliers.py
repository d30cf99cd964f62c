import pytest
import torch
from sklearn.neighbors import LocalOutlierFactor

from densevl.dense.operations.outliers import attention_outliers, density_outliers, outlier_factors


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("neighbours", [3, 30])
def test_breunigs_factor_is_that_of_scikit_learn(neighbours):
    tokens = draw(1, 80, 6)
    tokens[0, 7] += 5
    found = outlier_factors(tokens, neighbours, reach="neighbour", squared=False)
    theirs = -LocalOutlierFactor(neighbours).fit(tokens[0].double()).negative_outlier_factor_
    torch.testing.assert_close(found[0].double(), torch.from_numpy(theirs), rtol=1e-4, atol=1e-4)


def test_the_published_factor_by_loops():
    tokens, k = draw(20, 4).double(), 5
    squares = ((tokens[:, None] - tokens) ** 2).sum(2)
    nearest = [[j for j in squares[i].argsort().tolist() if j != i][:k] for i in range(20)]
    last = [squares[i, nearest[i][-1]] for i in range(20)]
    expected = torch.stack([last[i] * sum(1 / last[j] for j in nearest[i]) / k for i in range(20)])
    torch.testing.assert_close(outlier_factors(tokens[None].float(), k)[0].double(), expected, rtol=1e-4, atol=1e-5)


def test_a_batch_is_each_image_by_itself():
    tokens = draw(3, 40, 5)
    tokens[1] *= 7
    assert torch.equal(density_outliers(tokens)[1:2], density_outliers(tokens[1:2]))
    attention = draw(3, 12, 12).softmax(2)
    assert torch.equal(attention_outliers(attention, 2)[1:2], attention_outliers(attention[1:2], 2))


def test_the_share_of_outliers():
    tokens = draw(1, 100, 5)
    tokens[0, [3, 50]] += 9
    found = density_outliers(tokens, share=0.05)[0]
    assert found.sum() == 5
    assert found[[3, 50]].all()
    assert not density_outliers(tokens, share=0).any()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_fewer_tokens_than_neighbours(count):
    found = density_outliers(draw(2, count, 4))
    assert found.shape == (2, count)
    assert found.sum(1).max() < count


def test_tokens_that_are_the_same_have_no_outliers():
    assert not density_outliers(torch.ones(1, 50, 8)).any()


def test_class_attention():
    attention = torch.eye(7)[None] * 0.3
    attention[0, 0, 2:] = torch.tensor([0.1, 0.21, 0.5, 0.25, 0.4])
    found = [attention_outliers(attention, 2, most)[0].nonzero()[:, 0].tolist() for most in (10, 2, 0)]
    assert found == [[1, 2, 3, 4], [2, 4], []]
    assert not attention_outliers(attention, 2, factor=0.5).any()
