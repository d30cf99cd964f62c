"""A page of label maps for any browser: a gallery whose labels can be switched, and tables of areas."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote

from densevl.api.jobs.formats.contracts import Format
from densevl.api.jobs.formats.record import ImageRecord
from densevl.core.drawing.legend import percent
from densevl.core.drawing.page import (
    INDEX,
    Item,
    Legend,
    Page,
    Table,
    layer_link,
    picture_of,
    write_labels,
    write_picture,
)
from densevl.core.vocabulary import Vocabulary

__all__ = ["HtmlFormat"]


class HtmlFormat(Format):
    """``index.html``, with its pictures and layers below ``page/``; see :mod:`densevl.core.drawing.page`."""

    of_segments = False
    joined = (INDEX,)
    joins_files = True

    def files(self, record: ImageRecord) -> tuple[str, ...]:
        """The image, its thumbnail and its labels."""
        picture = picture_of(record.name, record.size)
        return tuple(unquote(link) for link in (picture.picture, picture.thumb, layer_link(record.name)))

    def write(self, out: Path, record: ImageRecord) -> None:
        """Write what the page shows of an image."""
        write_picture(out, record.name, record.pixels())
        write_labels(out, record.name, record.labels)

    def join(self, out: Path, records: Iterable[ImageRecord], vocabulary: Vocabulary) -> None:
        """Write the page of the images whose files are there: their areas, and the mean area of each class."""
        items, rows = list[Item](), list[tuple[int | float | None, ...]]()
        totals, counts = Counter[int](), Counter[int]()
        for record in records:
            if not all((out / file).is_file() for file in self.files(record)):
                continue
            pixels = record.size[0] * record.size[1]
            order = sorted(record.classes, key=lambda segment: -segment.area)
            largest = ", ".join(vocabulary.names[segment.label] for segment in order[:3])
            for segment in order:
                totals[segment.label] += segment.area / pixels  # type: ignore[assignment]
                counts[segment.label] += 1
                rows.append((len(items), segment.label, segment.area / pixels, segment.score))
            layers = {"labels": layer_link(record.name)}
            items.append(Item(record.name, picture_of(record.name, record.size), layers, largest))
        groups = [
            Legend(name, colour, percent(totals[label] / len(items)) if counts[label] else "")
            for label, (name, colour) in enumerate(zip(vocabulary.names, vocabulary.palette, strict=True))
        ]
        areas = (("image", "item"), ("class", "group"), ("area", "share"), ("probability", "percent"))
        means = [(label, totals[label] / len(items), counts[label]) for label in range(len(groups)) if counts[label]]
        tables = [
            Table("Areas", areas, rows),
            Table("Classes", (("class", "group"), ("mean area", "share"), ("images", "number")), means),
        ]
        note = f"{len(items)} image{'' if len(items) == 1 else 's'}"
        by_area = tuple(sorted(range(len(groups)), key=lambda label: -totals[label]))
        Page("Label maps", note, "Classes", groups, items, tables, order=by_area).write(out)
