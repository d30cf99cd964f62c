import cv2
import numpy as np
import pytest

from densevl.core.colour_words import colour_data, suggested
from densevl.core.errors import UsageError
from densevl.core.oklab import VISIONS, oklab
from densevl.core.palette import named_palette, palette


def least_distance(colours: np.ndarray) -> float:
    """Least CIE76 distance of two of the colours; about 2.3 is what an attentive eye can just see."""
    lab = cv2.cvtColor(colours.astype(np.float32)[None] / 255, cv2.COLOR_RGB2LAB)[0]
    distance = np.linalg.norm(lab[:, None] - lab[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    return float(distance.min())


@pytest.mark.parametrize(("n", "least"), [(10, 30), (20, 20), (150, 8), (1000, 3)])
def test_colours_can_be_told_apart(n: int, least: float) -> None:
    colours = np.array(palette(n))
    assert colours.shape == (n, 3)
    assert least_distance(colours) > least
    by_chance = [least_distance(np.random.default_rng(seed).integers(0, 256, (n, 3))) for seed in range(5)]
    assert least_distance(colours) > max(by_chance)


def test_a_shorter_palette_begins_a_longer_one() -> None:
    longest = palette(1500)
    for n in (0, 1, 10, 11, 40, 1025):
        assert palette(n) == longest[:n]


def test_every_class_of_a_16_bit_file_has_its_own_colour() -> None:
    colours = palette(65536)
    assert len(set(colours)) == 65536
    assert 0 <= np.min(colours) <= np.max(colours) <= 255


def test_no_colour_drowns() -> None:
    brightness = np.array(palette(1000)).max(1)
    assert brightness.min() > 60


@pytest.mark.parametrize("n", [-1, 65537])
def test_impossible_sizes(n: int) -> None:
    with pytest.raises(UsageError, match="0 to 65536"):
        palette(n)


def least_seen(colours: np.ndarray, vision: str) -> float:
    """Least distance in Oklab of two of the colours; about 0.02 can just be told apart."""
    places = oklab(colours, vision)
    distance = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    return float(distance.min())


@pytest.mark.parametrize(
    ("n", "normal", "without_cones"), [(8, 0.15, 0.075), (12, 0.15, 0.07), (20, 0.12, 0.05), (150, 0.045, 0.015)]
)
def test_people_who_see_fewer_colours_tell_them_apart(n: int, normal: float, without_cones: float) -> None:
    colours = np.array(palette(n))
    for vision in VISIONS:
        assert least_seen(colours, vision) > (normal if vision == "normal" else without_cones), vision


def named(*names: str) -> tuple[tuple[int, int, int], ...]:
    return named_palette(tuple((name,) for name in names))


FREE = ("cat", "dog", "sofa", "person", "window", "lamp", "bicycle", "door", "table", "phone")
HINTED = ("grass", "brick", "green ring", "blue circle", "yellow heart", "white crescent", "orange square")


def test_names_that_suggest_nothing_get_the_palette() -> None:
    assert named(*FREE) == palette(len(FREE))
    assert named_palette(()) == ()


def test_names_get_the_colour_that_they_suggest() -> None:
    for word in (*colour_data()["colours"], *colour_data()["materials"], *colour_data()["things"]):
        assert named(word) == (suggested([word]),)


WORDS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "cyan")


@pytest.mark.parametrize("word", WORDS)
def test_shades_of_a_colour_word_keep_its_hue_and_differ(word: str) -> None:
    colours = np.array(named(*(f"{word} {shape}" for shape in ("circle", "square", "star", "ring", "heart"))))
    places, (own,) = oklab(colours), oklab(np.array([suggested([word])]))
    hues = np.rad2deg(np.arctan2(places[:, 2], places[:, 1]))
    turned = (hues - np.rad2deg(np.arctan2(own[2], own[1])) + 180) % 360 - 180
    assert np.abs(turned).max() < 15
    assert np.hypot(*places[:, 1:].T).min() > 0.04
    assert least_seen(colours, "normal") > 0.045


@pytest.mark.parametrize("names", [HINTED, (*FREE[:4], *HINTED), (*HINTED, *FREE), ("red car", "red bus", *FREE)])
def test_mixed_names_are_told_apart_by_everybody(names: tuple[str, ...]) -> None:
    colours = np.array(named(*names))
    for vision in VISIONS:
        assert least_seen(colours, vision) > (0.095 if vision == "normal" else 0.025), vision


def test_one_more_class_leaves_the_others_as_they_are() -> None:
    names = (*FREE[:3], *HINTED, "blue car", "blue bus", "sky", *FREE[3:], "red", "white cat", "black cat", "grey cat")
    whole = named(*names)
    for n in range(1, len(names)):
        assert named(*names[:n]) == whole[:n]


def test_more_classes_of_one_colour_than_it_has_shades() -> None:
    for word in ("black", "white", "beige", "red"):
        colours = named(*(f"{word} {number}" for number in range(300)))
        assert len(set(colours)) == 300


def test_very_many_named_classes() -> None:
    colours = named("grass", *(f"kind {number}" for number in range(5000)), "blue car")
    assert len(set(colours)) == 5002
    assert colours[0] == suggested(["grass"])
