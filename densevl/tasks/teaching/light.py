"""Images in another light: what a camera or the hour of the day changes while every label stays true.

Classes that are taught on one or two images learn the light of these, too. The same cells in another light tell them
that it does not matter; each light is one more pass of the encoder while teaching, and none afterwards.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import UInt8

__all__ = ["LIGHTS", "relit"]

LIGHTS: Mapping[str, tuple[float, float]] = {
    "bright": (0.7, 1.0),
    "dark": (1.4, 1.0),
    "warm": (1.0, 1.12),
    "cool": (1.0, 1 / 1.12),
}
"""Power that values in [0, 1] are raised to, and factor of red, by which blue is divided."""


def relit(image: UInt8[np.ndarray, "H W 3"], light: str) -> UInt8[np.ndarray, "H W 3"]:
    """An image in another light.

    Args:
        image: RGB.
        light: one of :data:`LIGHTS`.
    """
    power, warmth = LIGHTS[light]
    levels = (np.arange(256) / 255.0) ** power
    tables = [np.rint(255 * np.clip(levels * factor, 0, 1)).astype(np.uint8) for factor in (warmth, 1.0, 1 / warmth)]
    return np.stack([table[image[..., channel]] for channel, table in enumerate(tables)], axis=2)
