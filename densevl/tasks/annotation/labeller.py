"""From a captioned image to a record of region texts: phrases, boxes, and each box with its best phrase.

As VESL of CLOC (Chen et al., https://arxiv.org/abs/2410.02746): boxes with a confidence above 0.1 stay.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import cv2

from densevl.core.errors import DensevlError, ImageError, UsageError
from densevl.core.failures import Failure
from densevl.core.files import InputFile
from densevl.core.images import decode_image, is_upright
from densevl.core.inputs.remote import RemoteImage
from densevl.datasets.region_texts.record import RegionText, RegionTextRecord
from densevl.datasets.region_texts.sample import picture_suffix
from densevl.datasets.region_texts.shard import ShardHead
from densevl.datasets.region_texts.shards import shard_bytes
from densevl.regions.detectors.detector import Found, Picture, find_one_by_one
from densevl.tasks.annotation.noun_phrases import MOST_PHRASES, Tagger, noun_phrases
from densevl.tasks.annotation.parts import CaptionedImage, Part

__all__ = ["Labeller", "label_part"]

READERS = 4
"""Threads that read the images of the next batches while one is labelled."""

UNCAPTIONED = "it has no caption; add one, or let a model write it: --captioner MODEL"


@dataclass(frozen=True, eq=False)
class Ready:
    """An image that has been decoded.

    Attributes:
        item: what it is called, and its captions.
        stored: the encoded image, as it goes into the shard.
        pixels: uint8 RGB (H, W, 3).
    """

    item: CaptionedImage
    stored: bytes
    pixels: Picture


class Labeller:
    """Labels captioned images.

    Args:
        detector: finds what phrases name; a :class:`densevl.regions.detectors.detector.Detector`.
        tagger: from a caption to words and their parts of speech.
        captioner: writes a caption where none is given; None for nobody.
        threshold: boxes with a confidence at or below it are dropped.
        most: phrases of an image.
        batch: images that pass through a model together.

    Raises:
        UsageError: where the threshold or the batch cannot be meant.
    """

    def __init__(
        self,
        detector: Any,
        tagger: Tagger,
        captioner: Any = None,
        threshold: int | float = 0.1,
        most: int = MOST_PHRASES,
        batch: int = 8,
    ) -> None:
        if not 0 <= threshold < 1:
            raise UsageError(f"the threshold is a confidence in [0, 1); got {threshold}")
        if batch < 1 or most < 1:
            raise UsageError(f"batch and phrases of an image must be at least 1; got {batch} and {most}")
        self.detector, self.tagger, self.captioner = detector, tagger, captioner
        self.threshold, self.most, self.batch = threshold, most, batch

    def label(self, images: Iterable[CaptionedImage | Failure]) -> Iterator[RegionTextRecord | Failure]:
        """A record of each image, or the reason why there is none, in their order."""
        remaining = iter(images)
        with ThreadPoolExecutor(READERS) as pool:
            reading = deque[Iterator[Ready | Failure]]()
            while batch := list(islice(remaining, self.batch)):
                reading.append(pool.map(_read, batch))
                if len(reading) > 1:
                    yield from self._label(list(reading.popleft()))
            for read in reading:
                yield from self._label(list(read))

    def _label(self, batch: list[Ready | Failure]) -> list[RegionTextRecord | Failure]:
        """Together, or one by one where they cannot be labelled together."""
        ready = [item for item in batch if isinstance(item, Ready)]
        try:
            made = iter(self._records(ready))
        except (DensevlError, MemoryError, RuntimeError) as error:
            if len(ready) > 1:
                return [result for one in batch for result in self._label([one])]
            made = iter([Failure(ready[0].item.name, f"{type(error).__name__}: {error}")])
        return [next(made) if isinstance(item, Ready) else item for item in batch]

    def _records(self, ready: Sequence[Ready]) -> list[RegionTextRecord | Failure]:
        captions = self._captions(ready)
        shown = [one for one, texts in zip(ready, captions, strict=True) if texts]
        phrases = [noun_phrases(texts, self.tagger, self.most) for texts in captions if texts]
        found = iter(zip(self._find([one.pixels for one in shown], phrases), phrases, strict=True))
        return [
            _record(one, texts[0], *next(found)) if texts else Failure(one.item.name, UNCAPTIONED)
            for one, texts in zip(ready, captions, strict=True)
        ]

    def _captions(self, ready: Sequence[Ready]) -> list[tuple[str, ...]]:
        captions = [one.item.captions for one in ready]
        bare = [i for i, texts in enumerate(captions) if not texts]
        if bare and self.captioner is not None:
            for i, text in zip(bare, self.captioner.caption([ready[i].pixels for i in bare]), strict=True):
                captions[i] = (text,) if text else ()
        return captions

    def _find(self, images: list[Picture], phrases: list[tuple[str, ...]]) -> list[Found]:
        if not images:
            return []
        find: Callable[..., list[Found]] | None = getattr(self.detector, "find", None)
        if find is None:
            return find_one_by_one(self.detector, images, phrases, self.threshold)
        return find(images, phrases, self.threshold)


def label_part(
    part: Part, images: Iterable[CaptionedImage | Failure], labeller: Labeller, kind: str
) -> tuple[bytes, list[RegionTextRecord], tuple[Failure, ...]]:
    """The shard of a part, its records, and the inputs that gave none.

    The same part, settings and models give the same bytes, whichever process or machine labels it.

    Args:
        part: the inputs.
        images: of the part, see :func:`densevl.tasks.annotation.parts.read_part`.
        labeller: labels them.
        kind: a name of :data:`densevl.datasets.region_texts.shards.FORMATS`.
    """
    records: list[RegionTextRecord] = []
    failures: list[Failure] = []
    for result in labeller.label(images):
        if isinstance(result, RegionTextRecord):
            records.append(result)
        else:
            failures.append(result)
    head = ShardHead(len(records), part.identity, tuple(failures))
    return shard_bytes(records, kind, head), records, head.failures


def _read(item: CaptionedImage | Failure) -> Ready | Failure:
    """A decoded image; what has failed already, and what cannot be read, is a failure."""
    if isinstance(item, Failure):
        return item
    image = item.image
    try:
        if isinstance(image, bytes):
            data = image
        elif isinstance(image, InputFile):
            data = image.path.read_bytes()
        elif isinstance(image, RemoteImage):
            data = image.encoded()
        else:  # it is no file of its own
            pixels = image.read()
            return Ready(item, _png(pixels), pixels)
        pixels = decode_image(data, item.name)
        return Ready(item, _stored(data, pixels, item.name), pixels)
    except OSError as error:
        return Failure(item.name, f"{item.name} cannot be read: {error.strerror or error}")
    except (ImageError, UsageError) as error:
        return Failure(item.name, str(error))


def _stored(data: bytes, pixels: Picture, name: str) -> bytes:
    """The file as it is, where every reader of shards sees it as :func:`read_image` does, else a PNG."""
    try:
        picture_suffix(data)
        kept = is_upright(data, name)
    except UsageError:
        kept = False
    return data if kept else _png(pixels)


def _png(pixels: Picture) -> bytes:
    return cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()


def _record(ready: Ready, caption: str, found: Found, phrases: Sequence[str]) -> RegionTextRecord:
    regions, size = found.regions, (int(ready.pixels.shape[0]), int(ready.pixels.shape[1]))
    scores = [1.0] * len(regions) if regions.scores is None else regions.scores.tolist()
    texts = []
    for (x0, y0, x1, y1), name, score in zip(regions.boxes.tolist(), found.names, scores, strict=True):
        box = round(x0, 2), round(y0, 2), round(x1, 2), round(y1, 2)
        texts.append(RegionText(box, phrases[name], round(score, 4)))
    return RegionTextRecord(ready.item.key, ready.stored, size, caption, tuple(texts))
