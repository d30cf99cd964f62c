"""The layout of ultralytics for training segmentation (https://docs.ultralytics.com/datasets/segment).

One folder with ``data.yaml``, copies of the images, and a text file for each image: a line for each object, its class
and the corners of one polygon as fractions of width and height.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from densevl.api.jobs.formats.contracts import Format
from densevl.api.jobs.formats.joined import write_text
from densevl.api.jobs.formats.record import ImageRecord
from densevl.core.coco import category_ids
from densevl.core.drawing.overlay import write_image
from densevl.core.files import atomic_write
from densevl.core.polygons import polygons_of
from densevl.core.vocabulary import Vocabulary

__all__ = ["YoloSegFormat"]

_FOLDER = "yolo-seg"

_READ = (".avif", ".bmp", ".jp2", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""Suffixes of images that ultralytics reads; others are written as PNG."""


class YoloSegFormat(Format):
    """``yolo-seg/``.

    Classes count from 0 without the background. An object has one polygon in this layout: of a segment with several
    connected parts each is an object, and a hole is joined to the outline round it. An image that shows no class has an
    empty file, as a training image of nothing. The images are copied, because ultralytics may write to them.
    """

    joined = (f"{_FOLDER}/data.yaml",)

    def files(self, record: ImageRecord) -> tuple[str, ...]:
        """The image and its polygons, where ultralytics looks for them."""
        image = f"{_FOLDER}/images/{record.name}{_suffix(record)}"
        # It replaces the last folder of this name, which may be one of the user's.
        before, _, behind = image.rpartition("/images/")
        return image, f"{before}/labels/{behind.rpartition('.')[0]}.txt"

    def write(self, out: Path, record: ImageRecord) -> None:
        """Copy the image and write its polygons."""
        image, labels = self.files(record)
        file = record.file
        if file is not None and file.suffix.lower() == _suffix(record):
            with atomic_write(out / image) as temporary:
                shutil.copyfile(file, temporary)
        else:
            write_image(out / image, record.pixels())
        ids = category_ids(record.vocabulary)
        lines = []
        for segment in record.segments:
            for polygon in polygons_of(*segment.crop()):
                corners = polygon.ring() / (record.size[1], record.size[0])
                # A little above: ultralytics cuts pixels to whole numbers, which would make 2 of 2.99997.
                corners = np.minimum(np.ceil(corners * 1e6 + 0.1) / 1e6, 1) * (corners > 0)
                numbers = " ".join(f"{value:.6f}" for value in corners.ravel().tolist())
                lines.append(f"{ids[segment.label] - 1} {numbers}\n")
        write_text(out / labels, "".join(lines))

    @contextmanager
    def joining(self, out: Path, vocabulary: Vocabulary) -> Iterator[Callable[[ImageRecord], None]]:
        """Write ``data.yaml``."""
        names = [vocabulary.names[label] for label in category_ids(vocabulary)]
        text = (
            "# densevl makes no split: move images and labels into folders of your own, or validate on the same ones\n"
        )
        text += "train: images\nval: images\nnames:\n"
        # A text of JSON is one of YAML.
        text += "".join(f"  {i}: {json.dumps(name, ensure_ascii=False)}\n" for i, name in enumerate(names))
        write_text(out / self.joined[0], text)
        yield lambda record: None


def _suffix(record: ImageRecord) -> str:
    """The suffix of the copy of an image; the place tells, so that it is known when the image is gone."""
    suffix = Path(record.file_name).suffix.lower()
    return suffix if suffix in _READ and Path(record.place).suffix.lower() == suffix else ".png"
