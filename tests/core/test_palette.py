import cv2
import numpy as np
import pytest

from densevl.core.errors import UsageError
from densevl.core.palette import palette


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
