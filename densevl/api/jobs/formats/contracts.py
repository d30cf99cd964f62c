"""The contract of formats.

A format turns records into files. It never asks the model, so that it can be written, and its files be joined, at any
time after the images were labelled. Equal records give equal bytes. Every file is written whole or not at all.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
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
        joined: paths, below the folder of results, of what :meth:`joining` or :meth:`join` writes.
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

    @contextmanager
    def joining(self, out: Path, vocabulary: Vocabulary) -> Iterator[Callable[[ImageRecord], None]]:
        """Write what there is once for all images, which are given one by one within the block.

        Several formats are joined in one pass over the records, which are too many to be held together.

        Args:
            out: the folder of results.
            vocabulary: of the records.

        Returns:
            Takes the record of each image, in the order in which they shall come.

        Raises:
            OutputError: where a file cannot be written.
        """
        yield lambda record: None

    def join(self, out: Path, records: Iterable[ImageRecord], vocabulary: Vocabulary) -> None:
        """Write what there is once for all images; a format may say so in the place of :meth:`joining`.

        Args:
            out: the folder of results.
            records: of all images, in the order in which they shall come. They are gone through once.
            vocabulary: of the records.

        Raises:
            OutputError: where a file cannot be written.
        """
        with self.joining(out, vocabulary) as add:
            for record in records:
                add(record)

    @property
    def has_own_join(self) -> bool:
        """True where the format goes through the records by itself."""
        return type(self).join is not Format.join

    @property
    def is_joined(self) -> bool:
        """True where there is something of all images together."""
        return self.has_own_join or type(self).joining is not Format.joining
