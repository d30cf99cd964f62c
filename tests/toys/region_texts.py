"""Records, captioned pictures and a labeller of small models for the tests of this folder."""

import cv2
import numpy as np
import pytest

from densevl.datasets.region_texts import RegionText, RegionTextRecord

CAPTIONS = ("a red dog on the grass", "two cats and a tree", "A big house, a car and a dog near the water.")


def picture(seed, size=(48, 64), suffix=".png"):
    """An encoded picture of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    return cv2.imencode(suffix, pixels)[1].tobytes()


@pytest.fixture(scope="session")
def make_picture():
    """An encoded picture of noise, from a seed, a size and the suffix of a file."""
    return picture


@pytest.fixture
def records():
    """Records with every kind of content, and keys that are hard to store."""
    box = RegionText((1.5, 2, 30, 40.25), "red dog", 0.75)
    return [
        RegionTextRecord(
            "day1/a.b%2E", picture(0, (40, 50)), (40, 50), "a red dog", (box, RegionText((0, 0, 9, 9), "ünï"))
        ),
        RegionTextRecord("c", picture(1, (30, 20), ".jpg"), (30, 20), None, ()),
        RegionTextRecord("a folder/d", picture(2, (16, 16), ".webp"), (16, 16), "", (box,)),
    ]


@pytest.fixture
def pictures(tmp_path):
    """A folder of seven pictures, each with its caption beside it."""
    folder = tmp_path / "pictures"
    (folder / "day1").mkdir(parents=True)
    for i in range(7):
        path = folder / ("day1" if i % 2 else ".") / f"img{i}.{'jpg' if i % 3 else 'png'}"
        path.write_bytes(picture(i, (48, 40 + 8 * i), path.suffix))
        path.with_suffix(".txt").write_text(CAPTIONS[i % 3] + "\n", encoding="utf-8")
    return folder
