"""Pre-annotations of CVAT (https://docs.cvat.ai/docs/manual/advanced/xml_format): "CVAT for images 1.1", with masks.

A mask of CVAT is cut out to its box; its code has the lengths of runs row by row, beginning with a run outside of the
mask.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from densevl.api.jobs.formats.contracts import Format
from densevl.api.jobs.formats.record import ImageRecord
from densevl.core.coco import category_ids
from densevl.core.files import atomic_write
from densevl.core.segments import Segment
from densevl.core.vocabulary import Vocabulary

__all__ = ["CvatFormat"]


class CvatFormat(Format):
    """``cvat.xml``, to be uploaded to a task or project that has the images and the labels.

    The background and unlabelled pixels have no mask. An image that shows no class is in the file, and is empty. CVAT
    finds an image by its path below the folder of images.
    """

    joined = ("cvat.xml",)

    @contextmanager
    def joining(self, out: Path, vocabulary: Vocabulary) -> Iterator[Callable[[ImageRecord], None]]:
        """Write the masks of all images."""
        with (
            atomic_write(out / self.joined[0]) as temporary,
            temporary.open("w", encoding="utf-8", newline="\n") as file,
        ):
            file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n')
            file.write(_labels(vocabulary))
            numbers = count()

            def add(record: ImageRecord) -> None:
                height, width = record.size
                name = quoteattr(record.file_name)
                file.write(f'  <image id="{next(numbers)}" name={name} width="{width}" height="{height}">\n')
                for segment in record.segments:
                    file.write(_mask(segment, vocabulary))
                file.write("  </image>\n")

            yield add
            file.write("</annotations>\n")


def _labels(vocabulary: Vocabulary) -> str:
    labels = "".join(
        f"      <label><name>{escape(vocabulary.names[label])}</name>"
        f"<color>#{bytes(vocabulary.palette[label]).hex()}</color><attributes></attributes></label>\n"
        for label in category_ids(vocabulary)
    )
    return f"  <meta>\n    <task>\n    <labels>\n{labels}    </labels>\n    </task>\n  </meta>\n"


def _mask(segment: Segment, vocabulary: Vocabulary) -> str:
    crop, x, y = segment.crop()
    changes = np.flatnonzero(np.diff(crop.ravel(), prepend=False))
    runs = np.diff(changes, prepend=0, append=crop.size)
    return (
        f'    <mask label={quoteattr(vocabulary.names[segment.label])} source="auto" occluded="0" '
        f'rle="{", ".join(map(str, runs.tolist()))}" left="{x}" top="{y}" '
        f'width="{crop.shape[1]}" height="{crop.shape[0]}" z_order="0">\n    </mask>\n'
    )
