"""Ranking by the things that a query names: an oracle region by region, whatever the parts of the index."""

import pytest
import torch
from toys.few_examples import units

from densevl.core.errors import UsageError
from densevl.core.features import TextVectors
from densevl.regions.composition import composed, parts_of_regions
from densevl.tasks.search import RegionIndex
from densevl.tasks.search.composed_ranker import ComposedRanker
from densevl.tasks.search.search import search


def by_hand(embeddings, words, query):
    scores = []
    for one in embeddings:
        if len(one.vectors):
            found = parts_of_regions(one.vectors, words)
            together = composed(one.vectors, found, words) @ query
            scores.append((together + (found * words).sum(-1).mean(-1)) / 2)
    return torch.cat(scores)


def test_it_ranks_every_region_by_itself_and_its_image(make_index):
    first, _, some = make_index()
    second, _, others = make_index(seed=3, names=("d.png", "e.png"), counts=(4, 3))
    index = RegionIndex((*first.parts, *second.parts))
    words, query = units(2, 8, seed=5), units(8, seed=6)
    expected = by_hand([*some, *others], words, query)
    ((scores, rows),) = ComposedRanker(index, words)(query[None], 100)
    torch.testing.assert_close(scores, expected.sort(descending=True).values)
    torch.testing.assert_close(expected[rows], scores)
    few = ComposedRanker(index, words)(torch.stack([query, -query]), 4)
    assert torch.equal(few[0][1], rows[:4])
    only = ComposedRanker(index.only(["d.png"]), words)(query[None], 100)[0]
    assert sorted(only[1].tolist()) == [14, 15, 16, 17]
    torch.testing.assert_close(only[0], by_hand(others[:1], words, query).sort(descending=True).values)


def test_a_search_takes_it(make_index):
    index, _, embeddings = make_index()
    words, query = units(2, 8, seed=5), units(1, 8, seed=6)
    hits = search(index, TextVectors(query, ("x",), "m@1"), 3, overlap=None, ranker=ComposedRanker(index, words))[0]
    best = by_hand(embeddings, words, query[0]).topk(3)
    assert [hit.row for hit in hits] == best.indices.tolist()
    assert hits[0].score == pytest.approx(float(best.values[0]))


def test_what_is_not_finite_is_refused(make_index):
    index, _, _ = make_index()
    with pytest.raises(UsageError, match="a phrase is not finite"):
        ComposedRanker(index, torch.full((1, 8), torch.nan))
