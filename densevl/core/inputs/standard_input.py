"""An image on standard input."""

import sys
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import UInt8

from densevl.core.errors import ImageError
from densevl.core.images import decode_image
from densevl.core.inputs.contracts import MOST_BYTES

__all__ = ["StandardInput"]


@dataclass(frozen=True)
class StandardInput:
    """The image on standard input, which is kept once it was read; to another process its bytes are sent.

    Attributes:
        relative: the name of its results.
    """

    relative: str = "stdin"
    _kept: list[bytes] = field(default_factory=list, repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return StandardInput, (self.relative, [self._bytes()])

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
        data = self._bytes()
        if len(data) > MOST_BYTES:
            raise ImageError(f"standard input has more than {MOST_BYTES} bytes, the limit; scale the image down")
        return decode_image(data, "standard input")

    def _bytes(self) -> bytes:
        """All bytes; one more than may be where there are more."""
        if not self._kept:
            self._kept.append(sys.stdin.buffer.read(MOST_BYTES + 1))
        return self._kept[0]
