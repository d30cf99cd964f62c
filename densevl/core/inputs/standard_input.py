"""An image on standard input."""

import sys
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from densevl.core.errors import ImageError
from densevl.core.images import decode_image
from densevl.core.inputs.contracts import MOST_BYTES

__all__ = ["StandardInput"]


@dataclass(frozen=True)
class StandardInput:
    """The image on standard input, which can be read once.

    Attributes:
        relative: the name of its results.
    """

    relative: str = "stdin"

    @property
    def name(self) -> str:
        """What messages call it."""
        return "standard input"

    @property
    def place(self) -> str:
        """The argument that means it."""
        return "-"

    def state(self) -> tuple[int, ...]:
        """Nothing: nobody can tell what comes the next time."""
        return ()

    def read(self) -> UInt8[np.ndarray, "H W 3"]:
        """The image.

        Raises:
            ImageError: where it is no image, or too large.
        """
        data = sys.stdin.buffer.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise ImageError(f"standard input has more than {MOST_BYTES} bytes, the limit; scale the image down")
        return decode_image(data, "standard input")
