"""The contract of an image to work on, wherever it is."""

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from densevl.core.errors import ImageError

__all__ = ["MOST_BYTES", "BrokenInput", "Input", "UrlImage"]

MOST_BYTES = 256 * 2**20
"""Bytes of an encoded image that is held in memory; a larger one is refused."""


@runtime_checkable
class Input(Protocol):
    """An image to work on; :class:`densevl.core.files.InputFile` is one in a file of its own."""

    @property
    def name(self) -> str:
        """The image as the user named it, for messages and records."""

    @property
    def place(self) -> str:
        """Where the image is, which no other image shares: an absolute path or a URL.

        An archive or a video counts as a folder of its images: ``/data/photos.tar/day1/cat.jpg``.
        :func:`densevl.core.inputs.open_input` finds the image again.
        """

    @property
    def relative(self) -> str:
        """The name of the results, ``/`` between its parts; it never leads out of their folder."""

    def state(self) -> tuple[int, ...]:
        """Numbers that differ once the image has changed; nothing where it cannot be had.

        Raises:
            UsageError: where what it needs is not installed.
        """

    def read(self) -> UInt8[np.ndarray, "H W 3"]:
        """The image.

        Raises:
            ImageError: where it cannot be had or is no image; the message names it and says why.
        """


@dataclass(frozen=True)
class UrlImage:
    """What images at URLs share.

    Attributes:
        url: its address.
        relative: the name of its results.
    """

    url: str
    relative: str = ""
    _seen: list[tuple[int, ...]] = field(default_factory=list, repr=False, compare=False)

    @property
    def name(self) -> str:
        """The URL."""
        return self.url

    @property
    def place(self) -> str:
        """The URL."""
        return self.url


@dataclass(frozen=True)
class BrokenInput:
    """Something that was named and is no image, known before it is read: it fails as an unreadable image does.

    Attributes:
        name: as the user named it.
        place: where it is.
        reason: what is wrong and the cure; begins with the name.
        relative: the name that results would have.
    """

    name: str
    place: str
    reason: str
    relative: str = ""

    def state(self) -> tuple[int, ...]:
        """Nothing: it is never done."""
        return ()

    def read(self) -> UInt8[np.ndarray, "H W 3"]:
        """Fail.

        Raises:
            ImageError: always.
        """
        raise ImageError(self.reason)
