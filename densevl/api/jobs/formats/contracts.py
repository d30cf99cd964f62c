"""The contract of formats.

A format turns records into files. It never asks the model, so that it can be written, and its files be joined, at any
time after the images were labelled. Equal records give equal bytes. Every file is written whole or not at all.
"""

from collections.abc import Iterable
from pathlib import Path

from densevl.api.jobs.formats.record import ImageRecord
from densevl.core.vocabulary import Vocabulary

__all__ = ["Format"]


class Format:
    """A way of writing results, which writes nothing yet: a format says what it writes of an image, or of all.

    Attributes:
        of_segments: whether it writes the segments of a record, which hang on the choice of instances, rather than its
            label map.
        of_probabilities: whether it writes probabilities, which are there only as an image is labelled.
        joined: paths, below the folder of results, of what :meth:`join` writes.
        joins_files: whether that hangs on the files of each image being there, beside its record.
    """

    of_segments = True
    of_probabilities = False
    joined: tuple[str, ...] = ()
    joins_files = False

    def files(self, record: ImageRecord) -> tuple[str, ...]:
        """Paths, below the folder of results, of what :meth:`write` writes for an image."""
        return ()

    def older(self, record: ImageRecord) -> tuple[str, ...]:
        """Paths of what earlier versions wrote in the place of :meth:`files`, where they named it otherwise."""
        return ()

    def write(self, out: Path, record: ImageRecord) -> None:
        """Write the files of one image.

        Raises:
            ImageError: where it needs the image, and the image cannot be read any more.
            OutputError: where a file cannot be written.
        """

    def join(self, out: Path, records: Iterable[ImageRecord], vocabulary: Vocabulary) -> None:
        """Write what there is once for all images.

        Args:
            out: the folder of results.
            records: of all images, in the order in which they shall come. They are gone through once, and are too many
                to be held together.
            vocabulary: of the records.

        Raises:
            OutputError: where a file cannot be written.
        """
