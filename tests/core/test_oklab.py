import numpy as np
import pytest

from densevl.core.oklab import VISIONS, oklab, seen

# Viénot, Brettel and Mollon (1999): linear sRGB to cones, and a missing cone's response from the other two.
CONES = np.array([[17.8824, 43.5161, 4.11935], [3.45565, 27.1554, 3.86714], [0.0299566, 0.184309, 1.46709]])
MISSING = {
    "protanopia": np.array([[0, 2.02344, -2.52581], [0, 1, 0], [0, 0, 1]]),
    "deuteranopia": np.array([[1, 0, 0], [0.494207, 0, 1.24827], [0, 0, 1]]),
}


def vienot(rgb: np.ndarray, vision: str) -> np.ndarray:
    """What a dichromat sees, sRGB, by another model than the one that is tested."""
    linear = np.linalg.inv(CONES) @ MISSING[vision] @ CONES @ ((rgb / 255) ** 2.2)[..., None]
    return np.rint(255 * np.clip(linear[..., 0], 0, 1) ** (1 / 2.2)).astype(int)


def test_the_corners_of_srgb() -> None:
    """Values from the publication of Oklab, by way of its reference code."""
    expected = {
        (255, 255, 255): (1.0, 0.0, 0.0),
        (255, 0, 0): (0.6280, 0.2249, 0.1258),
        (0, 255, 0): (0.8664, -0.2339, 0.1795),
        (0, 0, 255): (0.4520, -0.0325, -0.3115),
        (0, 0, 0): (0.0, 0.0, 0.0),
    }
    np.testing.assert_allclose(oklab(np.array(list(expected))), list(expected.values()), atol=5e-4)


def test_greys_look_the_same_to_everybody() -> None:
    greys = np.arange(0, 256, 15)[:, None].repeat(3, 1)
    np.testing.assert_allclose(seen(greys), np.broadcast_to(oklab(greys), (len(VISIONS), *greys.shape)), atol=1e-5)


@pytest.mark.parametrize("vision", MISSING)
def test_two_models_agree_on_which_colours_are_confused(vision: str) -> None:
    rng = np.random.default_rng(0)
    one, two = rng.integers(40, 216, (2, 400, 3))
    ours = np.linalg.norm(oklab(one, vision) - oklab(two, vision), axis=1)
    theirs = np.linalg.norm(oklab(vienot(one, vision)) - oklab(vienot(two, vision)), axis=1)
    assert np.corrcoef(ours, theirs)[0, 1] > 0.99
    whole = np.linalg.norm(oklab(one) - oklab(two), axis=1)
    assert np.corrcoef(whole, theirs)[0, 1] < 0.95, "which is not what people with all cones see"


def test_blue_and_green_are_near_without_the_cones_for_blue() -> None:
    pair = np.array([[0, 110, 140], [0, 125, 90]])
    normal, tritan = (np.linalg.norm(np.subtract(*oklab(pair, vision))) for vision in ("normal", "tritanopia"))
    assert tritan < normal / 2
