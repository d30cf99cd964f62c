"""Colours as people see them: Oklab, with all cones or without those of one kind.

Distances in Oklab (Ottosson, 2020) follow what people see: about 0.02 can just be told apart side by side. Dichromats
lack one kind of cones; what they see is simulated by the matrices of Machado, Oliveira and Fernandes (2009) for linear
sRGB.
"""

from jaxtyping import Float, Integer
from numpy import array, cbrt, clip, float64, ndarray, stack, where

__all__ = ["VISIONS", "oklab", "seen"]

_CONES = array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_OPPONENTS = array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
"""Linear sRGB to cone responses, and their cube roots to Oklab."""

VISIONS = {
    "normal": array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]]),
    "protanopia": array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
"""Linear sRGB of a colour to that of the colour which looks so to people of this vision."""


def oklab(rgb: Integer[ndarray, "n 3"], vision: str = "normal") -> Float[ndarray, "n 3"]:
    """Lightness, green to red, and blue to yellow of sRGB colours in 0..255.

    Args:
        rgb: the colours.
        vision: whose, a name of :data:`VISIONS`.
    """
    srgb = rgb.astype(float64) / 255
    linear = where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    simulated = clip(linear @ VISIONS[vision].T, 0, 1)
    return cbrt(simulated @ _CONES.T) @ _OPPONENTS.T


def seen(rgb: Integer[ndarray, "n 3"]) -> Float[ndarray, "v n 3"]:
    """Oklab of the colours for each of the :data:`VISIONS`."""
    return stack([oklab(rgb, vision) for vision in VISIONS])
