"""The image under the colours of its labels, with a legend, as PNG or, where it is large, as JPEG: for people."""

from pathlib import Path

import cv2

from densevl.api.jobs.formats.contracts import Format
from densevl.api.jobs.formats.record import ImageRecord
from densevl.core.drawing.overlay import draw_overlay, write_image

__all__ = ["LARGE", "OverlayFormat"]

LARGE = 250_000
"""Pixels of an image from which on its overlay is a JPEG: at 512×683 a fifth of the PNG, in a seventh of its time."""

JPEG = (
    *(cv2.IMWRITE_JPEG_QUALITY, 90),
    *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
)
"""Settings of JPEG: every pixel keeps its colour, since borders and letters are edges between colours."""


class OverlayFormat(Format):
    """``NAME.overlay.png``, or ``NAME.overlay.jpg`` of an image of 250,000 pixels or more.

    The background has a colour as every class; unlabelled pixels keep their own.
    """

    of_segments = False

    def files(self, record: ImageRecord) -> tuple[str, ...]:
        """The picture."""
        return (f"{record.name}.overlay{'.jpg' if _is_large(record) else '.png'}",)

    def older(self, record: ImageRecord) -> tuple[str, ...]:
        """A PNG, which overlays of any size were."""
        return (f"{record.name}.overlay.png",) if _is_large(record) else ()

    def write(self, out: Path, record: ImageRecord) -> None:
        """Draw the labels over the image."""
        words = record.vocabulary
        picture = draw_overlay(record.pixels(), record.labels, words.names, words.palette)
        write_image(out / self.files(record)[0], picture, JPEG if _is_large(record) else ())


def _is_large(record: ImageRecord) -> bool:
    return record.size[0] * record.size[1] >= LARGE
