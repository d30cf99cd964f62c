"""The table of taught classes: nested shots, classes that are left out, and rows that can be measured."""

import pytest
import torch
import torch.nn.functional as F

from densevl.benchmarks.tables import DESCRIPTIONS, TABLES
from densevl.benchmarks.tables.shifted_regions import ShiftedRegions
from densevl.benchmarks.tables.teach import METHODS, Shift, _doubted, _figures, _sets, draw_shots
from densevl.core.features import TextEmbeddings
from densevl.core.vocabulary import Vocabulary

NAMES, MODEL, DIM = ("bolt", "nut", "gear"), "tiny@1", 8


def drawn(n, seed):
    draw = torch.Generator().manual_seed(seed)
    means = F.normalize(torch.randn(3, DIM, generator=torch.Generator().manual_seed(2)), dim=1)
    labels = torch.randint(3, (n,), generator=draw)
    vectors = F.normalize(means[labels] + 0.3 * torch.randn(n, DIM, generator=draw), dim=1)
    return ShiftedRegions(vectors, labels, torch.arange(n), NAMES), means


@pytest.fixture(scope="module")
def shift():
    (training, means), (held_out, _) = drawn(120, 0), drawn(300, 1)
    words = Vocabulary.of([[name] for name in NAMES])
    return Shift(training, held_out, TextEmbeddings(means, torch.arange(3), words, MODEL, "none"))


def test_the_table_is_there():
    assert "teach" in TABLES
    assert "teach" in DESCRIPTIONS


def test_shots_are_nested_and_drawn_by_seed(shift):
    few, more = (set(draw_shots(shift.training.labels, count, 0).tolist()) for count in (2, 4))
    assert few < more
    assert [int((shift.training.labels[list(more)] == label).sum()) for label in range(3)] == [4, 4, 4]
    assert set(draw_shots(shift.training.labels, 4, 1).tolist()) != more
    assert len(draw_shots(torch.tensor([0, 1, 1, 1]), 2, 0)) == 3  # a class that has fewer gives all


def test_classes_that_are_left_out_stay_in_what_is_measured(shift):
    own = shift.only([0, 2])
    assert own.texts.vocabulary.names == ("bolt", "gear")
    assert torch.equal(own.held_out.labels == -1, shift.held_out.labels == 1)
    assert torch.equal(own.held_out.labels == 1, shift.held_out.labels == 2)
    assert set(own.training.labels.tolist()) == {0, 1}
    assert len(own.training.vectors) == int((shift.training.labels != 1).sum())


@pytest.mark.parametrize("method", METHODS)
def test_each_row_has_a_figure_for_each_number_of_shots(shift, method):
    *accuracies, error = _figures(METHODS[method], shift)
    assert len(accuracies) == 5
    assert f"{accuracies[-1]:.0f}" > "80"
    assert f"{error:.1f}" != "nan"


def test_promises_are_about_kept(shift):
    covered, size, each, _ = _sets(shift, 0)
    assert covered == pytest.approx(90, abs=8)
    assert 0.5 < size < 3
    assert each >= covered - 3


def test_what_was_left_out_is_doubted(shift):
    area, passing, alarms, caught = _doubted(shift.only([0, 2]), 0)
    assert area > 80
    assert passing < 80
    assert alarms < 15 < caught
