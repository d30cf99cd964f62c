import colorsys
from importlib.resources import files

import numpy as np
import pytest
from PIL import ImageColor

from densevl.core.colour_words import colour_data, suggested
from densevl.core.oklab import oklab


@pytest.mark.parametrize(
    ("name", "alike"),
    [
        ("blue circle", "blue"),
        ("a Blue circle", "blue"),
        ("orange", "orange"),
        ("the olive tree", "olive"),
        ("rose", "rose"),
        ("woman in red", "red"),
        ("red and white flag", "red"),
        ("red-brick house", "red"),
        ("sky blue shirt", "sky blue"),
        ("brick wall", "brick"),
        ("wooden chair", "wooden"),
        ("tall grass", "grass"),
        ("trees", "tree"),
        ("cherries", "cherry"),
        ("leaves on the road", "leaves"),
        ("grass under the tree", "grass"),
    ],
)
def test_what_a_name_suggests(name: str, alike: str) -> None:
    assert suggested([name]) == suggested([alike]) is not None


@pytest.mark.parametrize(
    "name", ["cat", "water bottle", "person on grass", "glass of milk", "light", "bored person", "赤", "7", "under", ""]
)
def test_names_that_suggest_nothing(name: str) -> None:
    assert suggested([name]) is None


def test_the_first_synonym_that_suggests_a_colour_counts() -> None:
    assert suggested(["couch", "red sofa", "blue sofa"]) == suggested(["red"])
    assert suggested([]) is None


def test_light_and_dark_shades() -> None:
    names = ["dark green", "green", "light green"]
    lightness = oklab(np.array([suggested([name]) for name in names]))[:, 0]
    assert lightness[0] + 0.1 < lightness[1] < lightness[2] - 0.1
    assert suggested(["light, green"]) == suggested(["light green"])


def hue(rgb: tuple[int, ...]) -> float:
    return 360 * colorsys.rgb_to_hsv(*(channel / 255 for channel in rgb))[0]


def test_colour_words_have_the_hue_that_css_gives_them() -> None:
    """CSS names most of the words; its grey-ish and its far too light ones have no hue to speak of."""
    compared = 0
    for word, colour in colour_data()["colours"].items():
        standard = ImageColor.colormap.get(word)
        if not isinstance(standard, str):
            continue
        red, green, blue = ImageColor.getrgb(standard)[:3]
        if max(red, green, blue) - min(red, green, blue) < 60:
            assert max(colour) - min(colour) < 70, word
            continue
        turned = abs((hue((red, green, blue)) - hue(tuple(colour)) + 180) % 360 - 180)
        assert turned < 40, word
        compared += 1
    assert compared >= 20


def test_the_data() -> None:
    data = colour_data()
    assert "Okabe" in data["source"]
    words = [word for kind in ("colours", "materials", "things") for word in data[kind]]
    assert len(words) == len(set(words)), "a word stands once"
    colours = [colour for kind in ("colours", "materials", "things") for colour in data[kind].values()]
    for colour in [*colours, *data["order"]]:
        assert len(colour) == 3
        assert all(isinstance(channel, int) and 0 <= channel <= 255 for channel in colour)
    assert files("densevl").joinpath("data/colours.json").is_file()
