"""Pre-annotations of Label Studio (https://labelstud.io/guide/predictions): brush masks as predictions of tasks.

A brush mask is a stream of bits, the highest of a byte first: 32 bits for the number of values, 5 for the bits of a
value less one, four times 4 for the bits of a length less one, and then runs. A run begins with a bit (1: one value
repeated) and two bits (which of the four lengths follows); then come its length less one and the value. The values are
those of an RGBA image, row by row; a pixel of the mask has 255 four times.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, repeat
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import numpy as np
from jaxtyping import Bool

from densevl.api.jobs.formats.contracts import Format
from densevl.api.jobs.formats.joined import as_text, write_text
from densevl.api.jobs.formats.record import ImageRecord
from densevl.core.coco import category_ids
from densevl.core.files import atomic_write
from densevl.core.vocabulary import Vocabulary

__all__ = ["LabelStudioFormat", "brush_code"]

_LENGTHS = (3, 4, 8, 16)
"""Bits of the length of a run, less one; the shortest that holds it is taken."""


class LabelStudioFormat(Format):
    """``label-studio/tasks.json`` to be imported, and ``label-studio/config.xml``, the labelling interface.

    The background and unlabelled pixels have no region. An image that shows no class is a task with an empty
    prediction.

    Args:
        image_url: of an image, with ``{}`` where its path below the folder of images stands. As it is, Label Studio
            serves the images itself, from the folder that LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT names.
    """

    joined = ("label-studio/tasks.json", "label-studio/config.xml")

    def __init__(self, image_url: str = "/data/local-files/?d={}") -> None:
        self.image_url = image_url

    @contextmanager
    def joining(self, out: Path, vocabulary: Vocabulary) -> Iterator[Callable[[ImageRecord], None]]:
        """Write the tasks and the labelling interface."""
        write_text(out / self.joined[1], _config(vocabulary))
        with atomic_write(out / self.joined[0]) as temporary, temporary.open("wb") as file:
            file.write(b"[")
            breaks = chain(["\n"], repeat(",\n"))

            def add(record: ImageRecord) -> None:
                file.write((next(breaks) + as_text(self._task(record))).encode())

            yield add
            file.write(b"]\n")

    def _task(self, record: ImageRecord) -> dict[str, Any]:
        scores = [segment.score for segment in record.segments if segment.score is not None]
        prediction: dict[str, Any] = {
            "model_version": "densevl",
            "result": [_region(record, index) for index in range(len(record.segments))],
        }
        if scores:
            prediction["score"] = round(sum(scores) / len(scores), 6)
        return {"data": {"image": self.image_url.replace("{}", quote(record.file_name))}, "predictions": [prediction]}


def _region(record: ImageRecord, index: int) -> dict[str, Any]:
    segment = record.segments[index]
    return {
        "id": f"segment{index}",
        "type": "brushlabels",
        "from_name": "label",
        "to_name": "image",
        "original_width": record.size[1],
        "original_height": record.size[0],
        "image_rotation": 0,
        "value": {
            "format": "rle",
            "rle": list(brush_code(segment.pixels())),
            "brushlabels": [record.vocabulary.names[segment.label]],
        },
        **({} if segment.score is None else {"score": segment.score}),
    }


def _config(vocabulary: Vocabulary) -> str:
    labels = "".join(
        f"    <Label value={quoteattr(vocabulary.names[label])} "
        f'background="#{bytes(vocabulary.palette[label]).hex()}"/>\n'
        for label in category_ids(vocabulary)
    )
    return (
        '<View>\n  <Image name="image" value="$image" zoom="true"/>\n'
        f'  <BrushLabels name="label" toName="image">\n{labels}  </BrushLabels>\n</View>\n'
    )


def brush_code(mask: Bool[np.ndarray, "H W"]) -> bytes:
    """A mask as Label Studio's brush stores it."""
    flat = mask.ravel()
    ends = np.append(np.flatnonzero(np.diff(flat)) + 1, flat.size) * 4
    bits = [f"{flat.size * 4:032b}", f"{8 - 1:05b}", *(f"{length - 1:04b}" for length in _LENGTHS)]
    value, start = bool(flat[0]), 0
    for end in ends.tolist():
        bits += _runs(end - start, value)
        value, start = not value, end
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big")


def _runs(count: int, value: bool) -> Iterator[str]:
    while count:
        run = min(count, 1 << _LENGTHS[-1])
        which = next(i for i, length in enumerate(_LENGTHS) if run <= 1 << length)
        yield f"1{which:02b}{run - 1:0{_LENGTHS[which]}b}{255 * value:08b}"
        count -= run
