"""Choices, ranks and means against counting one by one."""

import random

import numpy as np
import pytest
import torch

from densevl.metrics.choices import Choice, ChoiceScores, RecognitionScores, choose


def test_choices_and_ranks_are_those_of_sorting():
    torch.manual_seed(0)
    scores = torch.randn(40, 9)
    rng = random.Random(0)
    choices = [None if index % 2 else tuple(rng.sample(range(9), 4)) for index in range(40)]
    truths = [rng.choice(some or range(9)) for some in choices]
    answers = choose(scores, truths, choices)
    for answer, row, truth, some in zip(answers, scores.tolist(), truths, choices, strict=True):
        order = sorted(some or range(9), key=lambda text: -row[text])
        assert answer.given == order[0]
        assert answer.rank == order.index(truth) + 1
        assert answer.choices == len(order)
        assert answer.right == (order[0] == truth)
    assert choose(scores, truths) == choose(scores, truths, [range(9)] * 40)


def test_ties_are_no_hits_and_rank_in_the_middle():
    (answer,) = choose(torch.zeros(1, 5), [0])
    assert not answer.right
    assert answer.rank == 3
    (first,) = choose(torch.tensor([[1.0, 0, 1, 2]]), [0], [(0, 2, 1)])
    assert (first.rank, first.choices) == (1.5, 3)


def test_means_are_those_of_counting():
    rng = np.random.default_rng(0)
    names = ["cat", "dog", "cow", "never"]
    answers = [
        Choice(int(t), 0, float(r), 4) for t, r in zip(rng.integers(0, 3, 50), rng.integers(1, 5, 50), strict=True)
    ]
    scores = RecognitionScores(answers, names, {"pets": [0, 1], "wild": [3]})
    recall = [np.mean([a.rank == 1 for a in answers if a.truth == label]) for label in range(3)]
    assert scores.mean_accuracy == pytest.approx(100 * np.mean(recall))
    assert scores.top_1 == pytest.approx(100 * np.mean([a.rank == 1 for a in answers]))
    assert scores.chance == 25
    plain = scores.as_dict()
    assert plain["groups"]["pets"] == pytest.approx(100 * np.mean(recall[:2]))
    assert plain["groups"]["wild"] is None
    assert plain["classes"][3] == {"name": "never", "recall": None, "regions": 0}
    assert "chance 25.00  (50 regions, 3 of 4 classes occur)" in scores.lines()[-1]


def test_drawing_at_random_gives_the_chance_that_is_stated():
    torch.manual_seed(0)
    truths = [i % 3 for i in range(6000)]
    row = ChoiceScores({"x": choose(torch.randn(6000, 3), truths)}).as_dict()
    assert row["top_1"] == pytest.approx(row["chance"], abs=2)
    assert row["chance"] == pytest.approx(100 / 3)
    assert row["mean_rank"] == pytest.approx(2, abs=0.05)
    assert row["mean_rank_by_chance"] == 2


def test_captions_are_grouped_by_kind_and_number_of_negatives():
    groups = {"hard": [Choice(0, 0, 1, 3), Choice(0, 1, 2, 3), Choice(0, 0, 1, 5)], "easy": [Choice(0, 0, 1, 2)]}
    rows = ChoiceScores(groups).rows()
    assert [(row["name"], row["negatives"], row["regions"]) for row in rows] == [
        ("hard", 2, 2),
        ("hard", 4, 1),
        ("easy", 1, 1),
        ("all", None, 4),
    ]
    assert rows[0]["top_1"] == 50
    assert rows[0]["mean_rank"] == 1.5
    assert rows[3]["chance"] == pytest.approx(100 * (2 / 3 + 1 / 5 + 1 / 2) / 4)
    assert len(ChoiceScores(groups).lines()) == 5
