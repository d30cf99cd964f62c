"""Probabilities of cells are means of those of their pixels, made as an image is labelled and not afterwards."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import densevl
from densevl.api.jobs.formats.probabilities import CELL, check_probabilities, of_cells
from densevl.api.jobs.segment import SegmentJob
from densevl.core.errors import ImageError, UsageError
from densevl.core.inputs import find_inputs
from densevl.datasets.scenes import render

WORDS = "grass, sand, red circle"


@pytest.fixture(scope="module")
def model():
    return densevl.load("mini-maskclip", short_side=32)


@pytest.fixture
def photo(tmp_path):
    Image.fromarray(render(0, 0, (44, 61)).image).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_a_cell_is_the_mean_of_its_pixels():
    scores = torch.rand(3, 13, 20)
    found = of_cells(scores)
    assert found.shape == (3, 2, 3)
    expected = [scores[:, row : row + CELL, col : col + CELL].mean((1, 2)) for row in (0, 8) for col in (0, 8, 16)]
    assert np.allclose(found, torch.stack(expected, 1).reshape(3, 2, 3), atol=1e-3)


def test_they_are_those_of_the_model(model, photo, tmp_path):
    run = SegmentJob(model, WORDS, tmp_path / "out", save=["labels", "probabilities"]).run(find_inputs([photo]))
    assert not run.failures
    with np.load(tmp_path / "out" / "a.probabilities.npz", allow_pickle=False) as found:
        assert found["classes"].tolist() == ["grass", "sand", "red circle"]
        assert found["size"].tolist() == [44, 61]
        assert int(found["cell"]) == CELL
        cells = found["probabilities"]
    whole = model.segment(photo, WORDS, scores=True)
    assert cells.dtype == np.float16
    assert (cells == of_cells(whole.scores)).all()
    best = cells.argmax(0)
    sure = np.sort(cells.astype(float), axis=0)[-1] > 0.9
    centres = whole.labels[CELL // 2 :: CELL, CELL // 2 :: CELL]
    height, width = centres.shape
    assert (best[:height, :width] == centres)[sure[:height, :width]].all()


def test_they_are_not_made_afterwards(model, photo, tmp_path):
    SegmentJob(model, WORDS, tmp_path / "out", save=["labels"]).run(find_inputs([photo]))
    run = SegmentJob(model, WORDS, tmp_path / "out", save=["probabilities"]).run(find_inputs([photo]))
    assert len(run.skipped) == 1
    assert "--overwrite" in json.loads((tmp_path / "out" / "failures.jsonl").read_text())["reason"]
    SegmentJob(model, WORDS, tmp_path / "out", save=["probabilities"], overwrite=True).run(find_inputs([photo]))
    assert (tmp_path / "out" / "a.probabilities.npz").is_file()


def test_what_does_not_fit_is_refused(model, tmp_path):
    with pytest.raises(ImageError, match="150 classes at 8192×8192 pixels take 38 GiB"):
        check_probabilities(150, 8192, 8192)
    with pytest.raises(UsageError, match="leave out --tile"):
        SegmentJob(model, WORDS, tmp_path, save=["probabilities"], tile=(64, None))
