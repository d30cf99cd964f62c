"""COCO's panoptic layout (https://cocodataset.org/#format-data): a PNG of segment ids for each image, and one JSON.

A pixel's id is red + 256 · green + 256² · blue. Id 0 is "void", which evaluations pass over.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from densevl.api.jobs.formats.contracts import Format
from densevl.api.jobs.formats.joined import joined_json
from densevl.api.jobs.formats.record import ImageRecord
from densevl.core.coco import categories_of, category_ids, image_of, info_of
from densevl.core.drawing.overlay import write_image
from densevl.core.vocabulary import Vocabulary

__all__ = ["CocoPanopticFormat"]


class CocoPanopticFormat(Format):
    """``panoptic/NAME.png`` and ``panoptic.json``.

    The background, unlabelled pixels, and what is too small to be an instance are void. Every category counts as
    "stuff" where a segment is a whole class, and as "things" where it is an instance.
    """

    joined = ("panoptic.json",)

    def files(self, record: ImageRecord) -> tuple[str, ...]:
        """The ids of the segments of an image."""
        return (f"panoptic/{record.name}.png",)

    def write(self, out: Path, record: ImageRecord) -> None:
        """Write the ids, which count from 1 in the order of the segments."""
        ids = np.zeros(record.size, np.uint32)
        for number, segment in enumerate(record.segments, 1):
            ids[segment.pixels()] = number
        write_image(out / self.files(record)[0], np.stack([ids >> shift for shift in (0, 8, 16)], -1).astype(np.uint8))

    @contextmanager
    def joining(self, out: Path, vocabulary: Vocabulary) -> Iterator[Callable[[ImageRecord], None]]:
        """Write the classes of the ids."""
        ids = category_ids(vocabulary)
        head = {"info": info_of(vocabulary), "licenses": []}
        things = 0
        with joined_json(out / self.joined[0], ["images", "annotations", "categories"], **head) as joined:

            def add(record: ImageRecord) -> None:
                nonlocal things
                things, image_id = int(record.instances.mode != "none"), joined.counts["images"] + 1
                joined.add("images", image_of(image_id, record.file_name, record.size))
                segments: list[dict[str, Any]] = [
                    {
                        "id": number,
                        "category_id": ids[segment.label],
                        "area": segment.area,
                        "bbox": list(segment.box),
                        "iscrowd": 0,
                    }
                    for number, segment in enumerate(record.segments, 1)
                ]
                file_name = self.files(record)[0].removeprefix("panoptic/")
                joined.add("annotations", {"image_id": image_id, "file_name": file_name, "segments_info": segments})

            yield add
            for category in categories_of(vocabulary):
                colour = list(vocabulary.palette[category["label"]])
                joined.add("categories", {**category, "isthing": things, "color": colour})
