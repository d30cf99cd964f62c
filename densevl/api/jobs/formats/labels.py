"""Label maps as PNG: see :func:`densevl.core.labelmap.write_label_map`."""

from pathlib import Path

from densevl.api.jobs.formats.contracts import Format
from densevl.api.jobs.formats.record import ImageRecord
from densevl.core.labelmap import write_label_map

__all__ = ["LabelsFormat"]


class LabelsFormat(Format):
    """``NAME.labels.png``, whose values are the labels, that of the background among them.

    Unlabelled pixels have the largest value, 255 or 65535.
    """

    of_segments = False

    def files(self, record: ImageRecord) -> tuple[str, ...]:
        """The label map."""
        return (f"{record.name}.labels.png",)

    def write(self, out: Path, record: ImageRecord) -> None:
        """Write the label map."""
        write_label_map(out / self.files(record)[0], record.labels, record.vocabulary.palette)
