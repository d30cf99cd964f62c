"""The image under the colours of its labels, with a legend, as PNG: for people."""

from pathlib import Path

from densevl.api.jobs.formats.contracts import Format
from densevl.api.jobs.formats.record import ImageRecord
from densevl.core.drawing.overlay import draw_overlay, write_image

__all__ = ["OverlayFormat"]


class OverlayFormat(Format):
    """``NAME.overlay.png``. The background has a colour as every class; unlabelled pixels keep their own."""

    of_segments = False

    def files(self, record: ImageRecord) -> tuple[str, ...]:
        """The picture."""
        return (f"{record.name}.overlay.png",)

    def write(self, out: Path, record: ImageRecord) -> None:
        """Draw the labels over the image."""
        words = record.vocabulary
        write_image(
            out / self.files(record)[0], draw_overlay(record.pixels(), record.labels, words.names, words.palette)
        )
