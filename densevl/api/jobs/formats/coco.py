"""COCO's layout of annotations, with run-length masks or with polygons; see :mod:`densevl.core.coco`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from densevl.api.jobs.formats.contracts import Format
from densevl.api.jobs.formats.joined import as_text, joined_json, write_text
from densevl.api.jobs.formats.record import ImageRecord
from densevl.core.coco import annotation_of, categories_of, category_ids, dataset_of, image_of, info_of
from densevl.core.vocabulary import Vocabulary

__all__ = ["CocoFormat"]


class CocoFormat(Format):
    """``NAME.coco.json``, and ``annotations.json`` of all images.

    With polygons they are ``NAME.polygons.json`` and ``polygons.json``. The background is no category, and unlabelled
    pixels are in no annotation. An image without annotations is among the images.

    Args:
        polygons: write polygons, which every tool can edit, rather than run-length codes, which are exact.
    """

    def __init__(self, polygons: bool = False) -> None:
        self.polygons = polygons
        self.joined = ("polygons.json" if polygons else "annotations.json",)

    def files(self, record: ImageRecord) -> tuple[str, ...]:
        """The data set of the image alone."""
        return (f"{record.name}{'.polygons' if self.polygons else '.coco'}.json",)

    def write(self, out: Path, record: ImageRecord) -> None:
        """Write the data set of one image."""
        made = dataset_of(record.vocabulary, 1, record.file_name, record.size, record.segments, self.polygons)
        write_text(out / self.files(record)[0], as_text(made) + "\n")

    @contextmanager
    def joining(self, out: Path, vocabulary: Vocabulary) -> Iterator[Callable[[ImageRecord], None]]:
        """Write the data set of all images."""
        ids = category_ids(vocabulary)
        head = {"info": info_of(vocabulary), "licenses": [], "categories": categories_of(vocabulary)}
        with joined_json(out / self.joined[0], ["images", "annotations"], **head) as joined:

            def add(record: ImageRecord) -> None:
                image_id = joined.counts["images"] + 1
                joined.add("images", image_of(image_id, record.file_name, record.size))
                for segment in record.segments:
                    number = joined.counts["annotations"] + 1
                    annotation = annotation_of(segment, number, image_id, ids[segment.label], self.polygons)
                    joined.add("annotations", annotation)

            yield add
