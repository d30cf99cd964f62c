import math

import pytest
import scipy.linalg
import torch
import torch.nn.functional as F

from densevl.dense.operations.normalised_cut import _cut, follow_colours, normalised_cuts


def groups(sizes, noise=0.05, seed=0):
    """Unit features of groups that are like themselves alone, and the group of each."""
    owners = torch.cat([torch.full((size,), i) for i, size in enumerate(sizes)])
    draw = torch.Generator().manual_seed(seed)
    features = F.one_hot(owners, 6).float() + noise * torch.randn(len(owners), 6, generator=draw)
    order = torch.randperm(len(owners), generator=draw)
    return F.normalize(features[order], dim=1), owners[order]


def test_groups_are_found_largest_first():
    units, owners = groups([9, 6, 4])
    assert torch.equal(normalised_cuts(units, 0.5, 8, 0.5), owners)


@pytest.mark.parametrize(("most", "limit", "count"), [(2, 0.5, 2), (8, 0.0, 1), (1, 1.0, 1)])
def test_no_more_regions_than_asked_for(most, limit, count):
    units, _ = groups([9, 6, 4])
    assert len(normalised_cuts(units, 0.5, most, limit).unique()) == count


def test_a_cut_is_that_of_the_second_eigenvector():
    draw = torch.Generator().manual_seed(3)
    alike = torch.rand(12, 12, generator=draw)
    alike = alike + alike.T
    inside = torch.ones(12, dtype=torch.bool)
    inside[[2, 7]] = False
    members = inside.nonzero()[:, 0]
    weights = alike[members][:, members].double().numpy()
    degrees = weights.sum(1)
    costs, vectors = scipy.linalg.eigh(
        torch.diag(torch.from_numpy(degrees)).numpy() - weights, torch.diag(torch.from_numpy(degrees)).numpy()
    )
    halves = [
        {int(m) for m, value in zip(members, vectors[:, 1], strict=True) if (value > vectors[:, 1].mean()) == side}
        for side in (True, False)
    ]
    cost, away = _cut(alike, inside)
    assert cost == pytest.approx(costs[1], rel=1e-4)
    assert set(away.tolist()) in halves
    assert len(away) <= len(members) / 2


def test_patches_that_are_all_alike_are_one_region():
    for units in (torch.ones(6, 4) / 2, torch.ones(1, 4) / 2, torch.zeros(5, 4)):
        assert not normalised_cuts(units, 0.15, 16, 0.5).any()


def followed(labels, colours, reach, steps):
    """The mean field, patch by patch."""
    height, width = labels.shape
    places = [(y, x) for y in range(height) for x in range(width)]
    count = int(labels.max()) + 1
    unary = [[math.log(0.7 if labels[p] == c else 0.3 / (count - 1)) for c in range(count)] for p in places]
    shares = [[math.exp(value) for value in row] for row in unary]

    def kernel(i, j):
        (a, b), (c, d) = places[i], places[j]
        near = (a - c) ** 2 + (b - d) ** 2
        unlike = sum(float(colours[k][a, b] - colours[k][c, d]) ** 2 for k in range(3))
        return 10 * math.exp(-near / (2 * reach**2) - unlike / (2 * (13 / 255) ** 2)) + 3 * math.exp(-near / 0.5)

    for _ in range(steps):
        news = []
        for i in range(len(places)):
            scores = [
                unary[i][c] + sum(kernel(i, j) * shares[j][c] for j in range(len(places)) if j != i)
                for c in range(count)
            ]
            top = max(scores)
            total = sum(math.exp(score - top) for score in scores)
            news.append([math.exp(score - top) / total for score in scores])
        shares = news
    return torch.tensor([row.index(max(row)) for row in shares]).view(height, width)


def test_borders_follow_colours():
    colours = torch.zeros(3, 4, 6)
    colours[:, :, 3:] = 1.0
    labels = (torch.arange(6).expand(4, 6) > 1).long()
    labels[1] = torch.tensor([0, 0, 0, 1, 1, 1])
    labels[2] = torch.tensor([0, 0, 0, 1, 1, 0])
    found = follow_colours(labels, colours, 2.0, 4)
    assert torch.equal(found, followed(labels, colours, 2.0, 4))
    assert torch.equal(found, (torch.arange(6).expand(4, 6) > 2).long())
    assert torch.equal(follow_colours(labels, colours, 2.0, 0), labels)
    assert not follow_colours(torch.zeros(4, 6, dtype=torch.int64), colours, 2.0, 4).any()
