"""A page of label maps for any browser: a gallery whose labels can be switched, and tables of areas."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    Spool,
    Table,
    layer_link,
    picture_of,
    write_labels,
    write_picture,
)
from densevl.core.files import atomic_write
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

    @contextmanager
    def joining(self, out: Path, vocabulary: Vocabulary) -> Iterator[Callable[[ImageRecord], None]]:
        """Write the page of the images whose files are there: their areas, and the mean area of each class."""
        totals, counts = Counter[int](), Counter[int]()
        with atomic_write(out / INDEX) as temporary, Spool(temporary.parent) as items, Spool(temporary.parent) as rows:

            def add(record: ImageRecord) -> None:
                if not all((out / file).is_file() for file in self.files(record)):
                    return
                pixels = record.size[0] * record.size[1]
                order = sorted(record.classes, key=lambda segment: -segment.area)
                largest = ", ".join(vocabulary.names[segment.label] for segment in order[:3])
                for segment in order:
                    totals[segment.label] += segment.area / pixels  # type: ignore[assignment]
                    counts[segment.label] += 1
                    rows.add((len(items), segment.label, segment.area / pixels, segment.score))
                layers = {"labels": layer_link(record.name)}
                items.add(Item(record.name, picture_of(record.name, record.size), layers, largest).shown())

            yield add
            groups = [
                Legend(name, colour, percent(totals[label] / len(items)) if counts[label] else "")
                for label, (name, colour) in enumerate(zip(vocabulary.names, vocabulary.palette, strict=True))
            ]
            areas = (("image", "item"), ("class", "group"), ("area", "share"), ("probability", "percent"))
            means = [(i, totals[i] / len(items), counts[i]) for i in range(len(groups)) if counts[i]]
            tables = [
                Table("Areas", areas, rows),
                Table("Classes", (("class", "group"), ("mean area", "share"), ("images", "number")), means),
            ]
            note = f"{len(items)} image{'' if len(items) == 1 else 's'}"
            by_area = tuple(sorted(range(len(groups)), key=lambda label: -totals[label]))
            page = Page("Label maps", note, "Classes", groups, items, tables, order=by_area)
            page.write_file(temporary)
