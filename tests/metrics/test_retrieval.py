"""Recall of retrieval against ranking one by one, and against drawing lots for ties."""

from itertools import pairwise, permutations

import pytest
import torch

from densevl.core.errors import UsageError
from densevl.metrics.retrieval import RetrievalScores, expected_hits, retrieval_recalls


def by_sorting(cosines, truths, rank):
    """Both recalls in percent, each query by itself; there must be no ties."""
    rows, texts = cosines.tolist(), sorted(set(truths))
    r2t = [t in sorted(range(len(row)), key=lambda j: -row[j])[:rank] for row, t in zip(rows, truths, strict=True)]
    first = {text: sorted(range(len(rows)), key=lambda i: -rows[i][text])[:rank] for text in texts}
    t2r = [any(truths[i] == text for i in first[text]) for text in texts]
    return 100 * sum(r2t) / len(r2t), 100 * sum(t2r) / len(t2r)


@pytest.mark.parametrize(("regions", "texts"), [(40, 12), (7, 7), (30, 60), (1, 1)])
def test_recalls_are_those_of_sorting(regions, texts):
    generator = torch.Generator().manual_seed(regions)
    cosines = torch.randn(regions, texts, generator=generator)
    truths = torch.randint(texts, (regions,), generator=generator)
    found = retrieval_recalls(cosines, truths, (1, 2, 5, 10))
    for rank in (1, 2, 5, 10):
        expected = by_sorting(cosines, truths.tolist(), rank)
        assert (found[f"r2t R@{rank}"], found[f"t2r R@{rank}"]) == pytest.approx(expected)


def test_ties_count_as_often_as_lots_decide_for_them():
    generator = torch.Generator().manual_seed(0)
    for case in range(30):
        scores = torch.randint(3, (1, 6), generator=generator).float()
        right = torch.rand(1, 6, generator=generator) < 0.4
        right[0, case % 6] = True
        orders = [
            order for order in permutations(range(6)) if all(scores[0, a] >= scores[0, b] for a, b in pairwise(order))
        ]
        for rank in (1, 2, 4, 10):
            hits = sum(bool(right[0, list(order[:rank])].any()) for order in orders) / len(orders)
            assert float(expected_hits(scores, right, rank)[0]) == pytest.approx(hits)


def test_scoring_all_alike_is_chance_and_chance_is_what_noise_gets():
    truths = torch.arange(120) % 40
    scores = RetrievalScores(torch.full((120, 40), 0.3), truths).as_dict()
    assert {name: scores[name] for name in scores["chance"]} == scores["chance"]
    assert scores["chance"]["r2t R@5"] == pytest.approx(100 * 5 / 40)
    assert scores["chance"]["t2r R@1"] == pytest.approx(100 * 3 / 120)
    torch.manual_seed(0)
    noise = [retrieval_recalls(torch.randn(120, 40), truths) for _ in range(60)]
    for name, chance in scores["chance"].items():
        assert sum(found[name] for found in noise) / len(noise) == pytest.approx(chance, abs=2)


def test_equal_texts_are_one_and_texts_of_nobody_are_only_in_the_way():
    cosines = torch.tensor([[0.9, 0.1, 0.95], [0.2, 0.8, 0.0], [0.7, 0.3, 0.1]])
    found = retrieval_recalls(cosines, torch.tensor([0, 1, 0]), (1,))
    assert found == {"r2t R@1": pytest.approx(200 / 3), "t2r R@1": 100.0}


def test_what_cannot_be_scored():
    with pytest.raises(UsageError, match="at least one region"):
        retrieval_recalls(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long))
    with pytest.raises(UsageError, match="among the 3 texts"):
        retrieval_recalls(torch.zeros(2, 3), torch.tensor([0, 3]))
    with pytest.raises(UsageError, match="not finite"):
        retrieval_recalls(torch.tensor([[0.0, float("nan")]]), torch.tensor([0]))


def test_lines_show_every_figure_beside_chance():
    text = "\n".join(RetrievalScores(torch.eye(20), torch.arange(20)).lines())
    assert text.count("100.00") == 6
    assert "5.00" in text
    assert "(20 regions and 20 different texts to choose from)" in text
