"""Counts of images that a model takes for unknown."""

import pytest
from PIL import Image

from densevl.api.loading import load
from densevl.benchmarks.familiarity import MADE, alarm_rates
from densevl.training.known_scenes import known_scene


@pytest.fixture(scope="module")
def mini():
    return load("mini-maskclip", device="cpu")


def test_the_rates_are_counted(mini, tmp_path):
    Image.fromarray(known_scene("val", 1, 0)).save(tmp_path / "scene.png")
    table = alarm_rates(mini, 4, [tmp_path], count=1)
    rows = dict(table.rows)
    assert rows["scenes, 4"][0] == 0
    assert rows[f"folder {tmp_path.name}, 1"][0] == 0
    assert set(MADE) <= {name.rpartition(",")[0] for name in rows}
    assert rows["random pixels, 1"] == [100, 100, 100]
    assert "% of the images" in str(table)
