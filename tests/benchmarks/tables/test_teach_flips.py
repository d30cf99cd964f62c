"""The table of mirror images as views: the views that a row takes, and the vectors of scenes."""

import pytest
import torch

import densevl
from densevl.benchmarks.tables import DESCRIPTIONS, TABLES
from densevl.benchmarks.tables.teach_flips import SHOWN, some_views, taught_vectors
from densevl.datasets.scenes.grounds import GROUNDS
from densevl.datasets.scenes.scene import CLASSES


@pytest.fixture(scope="module")
def vectors(tmp_path_factory):
    names = CLASSES[len(GROUNDS) :]
    return taught_vectors(
        densevl.load("mini", device="cpu", lazy=True), "clean", 2, names, tmp_path_factory.mktemp("s")
    )


def test_the_table_is_there():
    assert "teach-flips" in TABLES
    assert "teach-flips" in DESCRIPTIONS


@pytest.mark.parametrize("row", SHOWN)
def test_rows_take_their_views_of_the_same_examples(vectors, row):
    views, chosen = SHOWN[row], torch.tensor([2, 0])
    count = len(vectors.labels) // 10
    found = some_views(vectors, chosen, views)
    assert len(found.labels) == 2 * len(views)
    assert torch.equal(found.vectors[:2], vectors.vectors[chosen])
    assert torch.equal(found.labels.reshape(-1, 2), vectors.labels[chosen].expand(len(views), 2))
    assert torch.equal(found.vectors[-2:], vectors.vectors[views[-1] * count + chosen])
    for thing in range(2):
        assert float(found.weights[found.things == thing].sum()) == pytest.approx(1)
