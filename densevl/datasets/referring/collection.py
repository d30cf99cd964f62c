"""The base of every importer: its source, and refs put together by image with a count of what is left out."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from densevl.core.errors import UsageError
from densevl.core.geometry import Box, Size
from densevl.core.masks import mask_of
from densevl.datasets.referring.annotations import Reference, ReferredImage, ReferringData
from densevl.datasets.referring.splits import Benchmark

__all__ = ["Collection", "Source", "box_of", "boxes_of", "identity"]


@dataclass(frozen=True)
class Source:
    """A file for an importer, and what the user says of it.

    Attributes:
        path: the file.
        benchmark: which one it is, and how it is split.
        split: of files that hold one and do not say which; None where the file says it.
        instances: COCO annotations of the images, which hold all their boxes; None where there are none.
    """

    path: Path
    benchmark: Benchmark
    split: str | None = None
    instances: Path | None = None

    @property
    def only_split(self) -> str:
        """The split of a file that holds one and does not say which.

        Raises:
            UsageError: where the user did not say it either.
        """
        if self.split is None:
            raise UsageError(f"nothing in {self.path} tells the split; name it with --split")
        return self.split


class Collection:
    """Refs as an importer finds them.

    Args:
        source: where they come from.
        name: of the format.
    """

    def __init__(self, source: Source, name: str) -> None:
        self.source, self.name = source, name
        self.skipped: Counter[str] = Counter()
        self._images: dict[tuple[str, Any], ReferredImage] = {}
        self._refs: dict[tuple[str, Any], dict[Any, Reference]] = {}

    def add(
        self,
        image: ReferredImage,
        ref_id: Any,
        ann_id: Any,
        bbox: Any,
        sentences: Iterable[Any],
        segmentation: Any = None,
    ) -> None:
        """Take in a ref, or count why not.

        Args:
            image: its image, without refs, with the split as the file writes it; the first of its id counts.
            ref_id: of the ref; the second of an id is a duplicate.
            ann_id: of the object.
            bbox: corner, width and height.
            sentences: the expressions.
            segmentation: as COCO writes it.

        Raises:
            UsageError: where the benchmark has no such split.
        """
        image = replace(image, split=self.source.benchmark.split(image.split))
        key = image.split, image.image_id
        texts = tuple(" ".join(str(text).split()) for text in sentences)
        kept = tuple(text for text in texts if any(letter.isalnum() for letter in text))
        self.skipped["empty expressions"] += len(texts) - len(kept)
        box = box_of(bbox)
        if box is None:
            self.skipped["refs whose box is empty or not finite"] += 1
        elif not kept:
            self.skipped["refs without an expression"] += 1
        elif ref_id in self._refs.setdefault(key, {}):
            self.skipped["duplicate refs"] += 1
        else:
            self._images.setdefault(key, image)
            self._refs[key][ref_id] = Reference(ref_id, ann_id, box, kept, self._mask(segmentation, image.size))

    @contextmanager
    def record(self, index: int, layout: str, file: Path | None = None) -> Iterator[None]:
        """A block that reads one record; what it stumbles over becomes an error that names the record.

        Args:
            index: place of the record in its file.
            layout: of the file, for the message.
            file: that is read; None for the source's own.

        Raises:
            UsageError: where the record is not of this layout.
        """
        try:
            yield
        except UsageError:
            raise
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            place = f"{file or self.source.path}, record {index}"
            raise UsageError(f"{place}: {type(error).__name__}: {error}; expected the layout of {layout}") from None

    def _mask(self, segmentation: Any, size: Size | None) -> Any:
        try:
            return mask_of(segmentation, size)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            self.skipped[f"masks that cannot be read ({error})"] += 1
            return None

    def finished(self) -> ReferringData:
        """All images with their refs.

        Raises:
            UsageError: where there is not one.
        """
        images = tuple(replace(image, refs=tuple(self._refs[key].values())) for key, image in self._images.items())
        skipped = {reason: count for reason, count in self.skipped.items() if count}
        if not images:
            reasons = ", ".join(f"{count} {reason}" for reason, count in skipped.items()) or "nothing"
            raise UsageError(f"{self.source.path} holds no ref that could be used; left out: {reasons}")
        benchmark = self.source.benchmark
        return ReferringData(benchmark.name, benchmark.splits_by, self.name, images, skipped)


def box_of(bbox: Any) -> Box | None:
    """A box from corner, width and height; None where it has no area or is not finite."""
    try:
        x, y, width, height = map(float, bbox)
    except (TypeError, ValueError):
        return None
    if not all(map(math.isfinite, (x, y, width, height))) or width <= 0 or height <= 0:
        return None
    return x, y, x + width, y + height


def boxes_of(annotations: Sequence[Mapping[str, Any]]) -> tuple[Box, ...]:
    """The boxes of annotations, without those that have no area."""
    return tuple(box for annotation in annotations if (box := box_of(annotation["bbox"])) is not None)


def identity(value: Any) -> int | str:
    """An id as files agree on it: a number where it is one, whether it was written as text or not."""
    return int(value) if isinstance(value, int) or str(value).isdecimal() else str(value)
