"""Training of the ranking-aware adapter: it learns orders, resumes exactly, and refuses what has none."""

import pytest
import torch

from densevl.core.errors import UsageError
from densevl.training.tuning.methods import Settings
from densevl.training.tuning.ranking import RankingModel, ScoredCells, held_out_images, judged, ranking_of
from densevl.training.tuning.ranking_loss import ranking_loss
from densevl.training.tuning.run import run_tuning

TEXTS = ("larger", "nearer the left")


def drawn(count, seed):
    """Boxes on a grid of 4 × 4 cells; the score is their size, or how far they are from the right."""
    chance = torch.Generator().manual_seed(seed)
    width = torch.randint(1, 4, (count,), generator=chance)
    left = (torch.rand(count, generator=chance) * (5 - width)).long()
    column = torch.arange(4)
    across = ((column >= left[:, None]) & (column < (left + width)[:, None])).float()
    shares = across[:, None].expand(-1, 4, -1).flatten(1)
    cells = 1 + 0.1 * torch.randn(6, 16, 16, generator=chance)
    scores = torch.cat([width.float(), 100 - 10 * (left + width / 2)])
    images = torch.arange(count) % 6
    labels = torch.arange(2).repeat_interleave(count)
    return ScoredCells(cells, images.repeat(2), shares.repeat(2, 1), TEXTS, labels, scores)


def settings(**changes):
    adapter = {"type": "rank-adapter", "width": 16, "cells": 4, "texts": 2, "queries": 2, "blocks": 1, "places": True}
    usual = {"tunables": (adapter,), "losses": ({"type": "ranking", "weight": 0.2},), "batch": 12, "steps": 100}
    return Settings(**{**usual, "optimizer": {"type": "AdamW", "lr": 0.01}, "crop": None, "flip": False, **changes})


@pytest.fixture(scope="module")
def vectors():
    torch.manual_seed(1)
    base = torch.randn(16)
    return torch.nn.functional.normalize(base + 0.1 * torch.randn(2, 16), dim=1)  # as alike as such texts are


@pytest.mark.slow
def test_both_orders_are_learnt_though_the_texts_are_alike(vectors):
    model = RankingModel(drawn(60, 0), vectors, settings(optimizer={"type": "AdamW", "lr": 0.005}, steps=300))
    run_tuning(model, 300)
    ranking = ranking_of(model, "some encoder", 64, drawn(30, 1), {"name": "some"})
    assert {text: said["examples"] for text, said in ranking.texts.items()} == dict.fromkeys(TEXTS, 60)
    assert all(said["spearman"] > 0.9 for said in ranking.texts.values())


def test_a_run_that_is_resumed_ends_with_the_same_numbers(vectors, tmp_path):
    examples = drawn(20, 0)
    whole = RankingModel(examples, vectors, settings(), seed=3)
    run_tuning(whole, 6)
    begun, resumed = (RankingModel(examples, vectors, settings(), seed=3) for _ in range(2))
    run_tuning(begun, 3, work_dir=tmp_path)
    run_tuning(resumed, 6, work_dir=tmp_path, resume=True)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_file_gives_the_same_scores(vectors, tmp_path):
    from densevl.encoders.ranking.ranking import Ranking

    examples = drawn(20, 0)
    ranking = ranking_of(RankingModel(examples, vectors, settings()), "some encoder", 64, None, {"name": "some"})
    ranking.save(tmp_path / "a.safetensors")
    loaded = Ranking.load(tmp_path / "a.safetensors")
    texts = torch.randn(2, 16)
    assert judged(loaded, examples, texts) == judged(ranking, examples, texts)
    assert (loaded.texts, loaded.model, loaded.side) == (ranking.texts, ranking.model, 64)
    assert loaded.knows(" Larger ") == "larger"
    assert loaded.knows("smaller") is None
    with pytest.raises(UsageError, match="was trained on 'some encoder' and this encoder is 'other'"):
        loaded.check_encoder("other")


def test_texts_without_an_order_are_refused(vectors):
    examples = drawn(20, 0)
    flat = ScoredCells(**{**vars(examples), "scores": torch.ones(40)})
    with pytest.raises(UsageError, match="all 20 examples of 'larger' have the score 1"):
        RankingModel(flat, vectors, settings())
    with pytest.raises(UsageError, match="'larger' has 2 examples"):
        RankingModel(examples.only(torch.tensor([0, 1, 20, 21, 22])), vectors, settings())


def test_held_out_images_leave_every_text_enough():
    examples = drawn(20, 0)
    out = held_out_images(examples, 0.5, 0)
    assert len(out) == 3
    few = examples.only(torch.tensor([0, 1, 2, 20, 21, 22]))
    assert held_out_images(few, 0.9, 0) == tuple(sorted(set(range(6)) - set(few.images.tolist())))


def test_a_training_that_diverges_says_so(vectors):
    with pytest.raises(UsageError, match="take a smaller learning rate"):
        run_tuning(RankingModel(drawn(20, 0), vectors, settings(optimizer={"type": "SGD", "lr": 1e20})), 20)


def test_the_diagonal_counts_as_not_larger():
    pairs, targets = torch.zeros(2, 2), torch.tensor([1.0, 2.0])
    pairs[0, 0] = pairs[1, 1] = -50
    pairs[1, 0], pairs[0, 1] = 50, -50
    assert ranking_loss(targets, pairs, targets) < 1e-6
    pairs[0, 0] = 50
    assert ranking_loss(targets, pairs, targets) > 10
