"""Classes by how often their concepts occur."""

import json

import numpy as np
import pytest

from densevl.benchmarks.lenses.frequency import Frequency, read_counts
from densevl.benchmarks.lenses.source import Source
from densevl.core.drawing.overlay import write_image
from densevl.core.errors import UsageError
from densevl.core.vocabulary import Vocabulary
from densevl.datasets.scenes import render
from densevl.datasets.scenes.scene import CLASSES


@pytest.fixture
def test_file(tmp_path):
    """A scene as labelled boxes."""
    scene = render(101, 0, 128, "val")
    write_image(tmp_path / "scene.png", scene.image)
    records = [{"image": "scene.png", "box": item.box, "name": item.name} for item in scene.objects]
    (tmp_path / "test.json").write_text(json.dumps(records))
    return tmp_path / "test.json"


def test_counts_of_a_file_by_name(tmp_path):
    file = tmp_path / "counts.json"
    file.write_text(json.dumps({"Red  Circle": 7, "disc": 2, "sand": 0}))
    names = Vocabulary.from_classes([["red circle", "disc"], "sand", "moon"])
    assert read_counts(file, names).tolist() == [9, 0, -1]
    file.write_text(json.dumps(["a red circle on sand", "sand"]))
    assert read_counts(file, names).tolist() == [1, 2, 0]


@pytest.mark.parametrize("count", [-1, 2.5, "many", True, None])
def test_counts_that_are_none(tmp_path, count):
    (tmp_path / "counts.json").write_text(json.dumps({"cat": count}))
    with pytest.raises(UsageError, match="the count of 'cat' must be a whole number"):
        read_counts(tmp_path / "counts.json", Vocabulary.from_classes(["cat"]))


def test_what_says_nothing_of_frequency_is_refused(mini, test_file, tmp_path):
    with pytest.raises(UsageError, match=r"give --set frequency\.counts=FILE"):
        Frequency().gather(mini, Source(test_file))
    with pytest.raises(UsageError, match="captions"):
        Frequency(str(tmp_path / "gone.json")).gather(mini, Source(test_file))
    (tmp_path / "other.json").write_text(json.dumps({"zebra": 3}))
    with pytest.raises(UsageError, match="none of the classes"):
        Frequency(str(tmp_path / "other.json")).gather(mini, Source(test_file))
    with pytest.raises(UsageError, match=r"frequency\.captions: at least one"):
        Frequency(captions=0).gather(mini, Source(scenes=1))


def test_figures_over_counts_of_a_file(mini, test_file, tmp_path):
    names = sorted({record["name"] for record in json.loads(test_file.read_text())})
    (tmp_path / "counts.json").write_text(json.dumps({name: 10**index for index, name in enumerate(names)}))
    lens = Frequency(str(tmp_path / "counts.json"))
    found = lens.examine(mini, lens.gather(mini, Source(test_file)))
    figures = found.values["regions"]
    assert [one["count"] for one in figures["each"]] == [10**index for index in range(len(names))]
    assert figures["per_class"]["points"] == len(figures["decades"]) == len(names)
    assert "class by class" in found.lines[0]
    assert "means of decades" in found.lines[1]


def test_the_captions_of_scenes_name_what_was_trained(mini):
    lens = Frequency(captions=20)
    data = lens.gather(mini, Source(scenes=2, seed=101))
    counts = dict(zip(CLASSES, data.counts["pixels"], strict=True))
    assert counts["grass"] > 2
    assert np.array_equal(data.counts["regions"], data.counts["pixels"][6:])
    found = lens.examine(mini, data)
    assert set(found.values) == {"regions", "pixels"}
    assert found.values["pixels"]["never"]["classes"] >= 0
