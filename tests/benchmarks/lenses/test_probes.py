"""The lens of linear probes: what it finds in features that hold the answers, in scenes, and what it refuses."""

import json

import numpy as np
import pytest

import densevl
from densevl.benchmarks.lenses.contracts import Finding
from densevl.benchmarks.lenses.probes import CHANCE, COLOURS, FEATURES, Probes
from densevl.benchmarks.lenses.source import Source
from densevl.benchmarks.lenses.subject import Subject
from densevl.core.errors import UsageError
from densevl.training.probing.primitives import PRIMITIVES


@pytest.fixture(scope="module")
def subject():
    return Subject(densevl.load("mini", device="cpu", lazy=True, short_side=64))


@pytest.fixture(scope="module")
def finding(subject):
    lens = Probes(epochs=20, share=0.5)
    return lens.examine(subject, lens.gather(subject, Source(scenes=16)))


def test_each_question_has_figures_of_the_features_the_control_and_chance(finding):
    assert isinstance(finding, Finding)
    for row in (FEATURES, COLOURS, CHANCE):
        assert list(finding.values[row]) == list(PRIMITIVES)
        assert 0 <= finding.values[row]["presence"]["mAP"] <= 1
    assert finding.values["images"] == 16
    assert len(finding.lines) == len(PRIMITIVES)
    assert finding.plots[0].image.shape[2] == 3
    assert len(finding.tables[0].rows) == 3 * len(PRIMITIVES)


def test_boxes_of_a_file(subject, root, tmp_path):
    """Boxes beside photos and drawn images alike; with two images each half is one."""
    records = [
        {"image": str(root / "demo/images/garden.png"), "name": "ring", "box": [10, 10, 60, 60]},
        {"image": str(root / "demo/photos/cat.png"), "name": "cat", "box": [20, 20, 200, 200]},
    ]
    (tmp_path / "examples.json").write_text(json.dumps(records), encoding="utf-8")
    lens = Probes(epochs=1, share=0.5)
    finding = lens.examine(subject, lens.gather(subject, Source(tmp_path / "examples.json")))
    assert finding.values["images"] == 2


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"side": 0}, "side and epochs"), ({"share": 1.0}, "share lies in"), ({"names": "size"}, "is unknown")],
)
def test_settings_that_cannot_be_used(settings, said):
    with pytest.raises(UsageError, match=said):
        Probes(**settings)


def test_one_image_is_too_few(subject):
    with pytest.raises(UsageError, match="none to train or none to judge"):
        Probes().gather(subject, Source(scenes=1))


def test_a_grid_of_one_size_whatever_the_image(subject):
    model, rng = subject.model, np.random.default_rng(0)
    images = [rng.integers(0, 255, size, np.uint8) for size in ((64, 64, 3), (40, 90, 3), (20, 16, 3))]
    together = model.grid(images)
    assert together.shape == (3, 192, 3, 3)
    assert together.dtype == np.float32
    assert np.abs(together).max() <= 1
    for image, grid in zip(images, together, strict=True):
        assert np.allclose(model.grid(image), grid, atol=1e-5)
        assert np.array_equal(model.grid(image), model.grid(image))
    whole = model.grid(images[0], side=1)[:, 0, 0]
    assert np.allclose(whole, together[0].mean((1, 2)), atol=1e-3)  # nine cells of one area
    assert model.grid(images[0], side=200).shape == (192, 200, 200)  # finer than the patches
    assert model.grid([]).shape == (0, 192, 3, 3)
    with pytest.raises(UsageError, match="at least one row"):
        model.grid(images[0], side=0)
