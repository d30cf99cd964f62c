"""Label maps: which class each pixel shows, as a value, as a file and as what other libraries take.

Convention: a label is the index of a class in the vocabulary, in memory and in files. -1 means unlabelled.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, Int32, Integer, UInt8
from torch import Tensor

from densevl.core.coco import dataset_of
from densevl.core.drawing.overlay import draw_overlay
from densevl.core.errors import ImageError, UsageError, suggestion
from densevl.core.files import atomic_write
from densevl.core.images import load_picture
from densevl.core.png import png_of
from densevl.core.segments import MIN_AREA, Segment, class_segments, connected_segments
from densevl.core.vocabulary import Colour, Vocabulary, normalised

if TYPE_CHECKING:
    from supervision import Detections

__all__ = ["IGNORED", "UNLABELLED", "LabelMap", "read_label_map", "write_label_map"]

UNLABELLED = -1

_NOTE = "Unlabelled"
"""The PNG text field that holds the value of unlabelled pixels in the file."""

_UNLABELLED_COLOUR = (224, 224, 192)  # that of "void" in PASCAL VOC


@dataclass(frozen=True, eq=False)
class LabelMap:
    """The class of every pixel of an image.

    Attributes:
        labels: index of the class of each pixel, -1 where there is none.
        vocabulary: the classes.
        image: the image that was labelled, uint8 RGB.
        best: probability of the class of each pixel.
        scores: probability of every class, where it was wanted.
        familiarity: p-value of the image for being of the kind that the model knows, where that can be said; see
            :meth:`densevl.Model.familiarity`.

    Raises:
        UsageError: where the sizes differ or a label is not one of the vocabulary.
    """

    labels: Integer[np.ndarray, "H W"]
    vocabulary: Vocabulary
    image: UInt8[np.ndarray, "_ _ 3"] | None = None
    best: Float[np.ndarray, "_ _"] | None = None
    scores: Float[Tensor, "k H W"] | None = None
    familiarity: float | None = None

    def __post_init__(self) -> None:
        _check_labels(self.labels, len(self.vocabulary))
        for name, array in (("image", self.image), ("best", self.best)):
            if array is not None and array.shape[:2] != self.labels.shape:
                raise UsageError(f"{name} has size {array.shape[:2]}; expected that of the labels, {self.labels.shape}")

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each class of the vocabulary, whether it is in the image or not."""
        return self.vocabulary.names

    @cached_property
    def _counts(self) -> Int[np.ndarray, " k"]:
        return np.bincount(self.labels.ravel().astype(np.int64) + 1, minlength=len(self.vocabulary) + 1)[1:]

    def areas(self) -> dict[str, float]:
        """Fraction of the image in (0, 1] of each class that is in it, the largest first.

        The fractions sum to one where every pixel is labelled.
        """
        return {self.names[label]: float(self._counts[label] / self.labels.size) for label in self._present()}

    def _present(self) -> list[int]:
        """Labels in the image, the largest area first."""
        return [int(label) for label in np.argsort(-self._counts, kind="stable") if self._counts[label]]

    def mask(self, name: str) -> Bool[np.ndarray, "H W"]:
        """Pixels of a class, named by any of its synonyms; all False where the image does not show it.

        Raises:
            UsageError: where the vocabulary has no such class.
        """
        class_of_name = {
            normalised(query): label
            for query, label in zip(self.vocabulary.queries, self.vocabulary.query_classes, strict=True)
        }
        label = class_of_name.get(normalised(name))
        if label is None:
            near = suggestion(normalised(name), class_of_name)
            raise UsageError(f"no class {name!r} in the vocabulary {self.vocabulary.name!r}; {near}")
        return self.labels == label

    def overlay(self, alpha: float = 0.55, legend: bool = True) -> UInt8[np.ndarray, "h w 3"]:
        """The image under its labels, with a legend; see :func:`densevl.core.drawing.overlay.draw_overlay`.

        Raises:
            UsageError: where the label map does not hold the image.
        """
        if self.image is None:
            raise UsageError("this label map does not hold the image; give LabelMap(..., image=...) to draw it")
        palette = self.vocabulary.palette
        return draw_overlay(self.image, self.labels, self.names, palette, alpha=alpha, legend=legend)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the labels as PNG; see :func:`write_label_map`."""
        write_label_map(path, self.labels, self.vocabulary.palette)

    def segments(self, connected: bool = False, min_area: int = MIN_AREA) -> tuple[Segment, ...]:
        """The classes in the image as masks, the largest first, the background among them.

        Args:
            connected: give one mask for each connected part of a class; without it, one for each class.
            min_area: connected parts with fewer pixels are left out.
        """
        segments = class_segments(self.labels, self.best)
        return connected_segments(segments, min_area) if connected else segments

    def to_coco(
        self, image_id: int = 1, file_name: str = "", *, connected: bool = False, min_area: int = MIN_AREA
    ) -> dict[str, Any]:
        """A COCO data set of this image, ready for JSON; see :mod:`densevl.core.coco` for its ids.

        Args:
            image_id: of the image, from 1.
            file_name: of the image below the folder of images.
            connected: give one annotation for each connected part of a class; without it, one for each class.
            min_area: connected parts with fewer pixels are left out.
        """
        size = (self.labels.shape[0], self.labels.shape[1])
        return dataset_of(self.vocabulary, image_id, file_name, size, self.segments(connected, min_area), False)

    def to_supervision(self, *, connected: bool = False, min_area: int = MIN_AREA) -> "Detections":
        """The classes in the image as ``supervision.Detections``: masks, boxes, labels, scores and names.

        ``class_id`` is the label. The background is left out. ``confidence`` is None where the label map holds no
        probabilities.

        Args:
            connected: give one detection for each connected part of a class; without it, one for each class.
            min_area: connected parts with fewer pixels are left out.

        Raises:
            UsageError: where supervision is not installed.
        """
        try:
            from supervision import Detections
        except ImportError:
            raise UsageError("supervision is not installed; pip install 'densevl[supervision]'") from None
        shown = [s for s in self.segments(connected, min_area) if s.label != self.vocabulary.background]
        if not shown:
            return Detections.empty()
        boxes = np.array([segment.box for segment in shown], np.float32)
        boxes[:, 2:] += boxes[:, :2]
        return Detections(
            xyxy=boxes,
            mask=np.stack([segment.pixels() for segment in shown]),
            confidence=None if self.best is None else np.array([segment.score for segment in shown], np.float32),
            class_id=np.array([segment.label for segment in shown]),
            data={"class_name": np.array([self.names[segment.label] for segment in shown])},
        )

    def _repr_png_(self) -> bytes | None:
        """The overlay, as notebooks show it; None where the label map does not hold the image."""
        return None if self.image is None else cv2.imencode(".png", self.overlay()[..., ::-1])[1].tobytes()


def write_label_map(
    path: str | os.PathLike[str], labels: Integer[np.ndarray, "H W"], palette: Sequence[Colour]
) -> None:
    """Write labels as PNG whose pixel values are the labels: 8 bits with a palette up to 256 classes, else 16 bits.

    Unlabelled pixels take the largest value, 255 or 65535, and a text field of the file says so; a map of 256 classes
    that has some is written with 16 bits.

    Args:
        path: ends in ``.png``: other formats would change labels.
        labels: -1 or an index into ``palette``.
        palette: colour of each class.

    Raises:
        OutputError: where the file cannot be written.
        UsageError: where the suffix is another or a label has no colour.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise UsageError(f"label maps are written as .png, which keeps every value; got {path.name!r}")
    lowest = _check_labels(labels, len(palette))
    small = len(palette) + (lowest < 0) <= 256
    texts = {_NOTE: "255" if small else "65535"} if lowest < 0 else {}
    values = labels.astype(np.uint8 if small else np.uint16)  # -1 becomes the largest
    with atomic_write(path) as temporary:
        temporary.write_bytes(png_of(values, _colours(palette) if small else None, texts))


def _colours(palette: Sequence[Colour]) -> UInt8[np.ndarray, "256 3"]:
    """The colours of bytes: those of classes, and that of unlabelled pixels at the end."""
    colours = np.zeros((256, 3), np.uint8)
    colours[255] = _UNLABELLED_COLOUR
    colours[: len(palette)] = palette
    return colours


def read_label_map(path: str | os.PathLike[str]) -> Int32[np.ndarray, "H W"]:
    """Read labels from a PNG of 8 or 16 bits: the values as they stand, but -1 for those that it notes as unlabelled.

    Raises:
        ImageError: where the file cannot be read or holds colours.
    """
    image = load_picture(path)
    values = np.asarray(image)
    if values.ndim != 2 or not np.issubdtype(values.dtype, np.integer):
        raise ImageError(f"{os.fspath(path)} holds {image.mode} values; a label map holds one whole number a pixel")
    labels = values.astype(np.int32)
    unlabelled = image.info.get(_NOTE)
    if unlabelled in ("255", "65535"):
        labels[labels == int(unlabelled)] = UNLABELLED
    return labels


def _check_labels(labels: np.ndarray, classes: int) -> int:
    """The lowest label.

    Raises:
        UsageError: where they are no labels of so many classes.
    """
    if labels.ndim != 2 or labels.size == 0 or not np.issubdtype(labels.dtype, np.integer):
        raise UsageError(f"labels are integers (H, W); got {labels.dtype} of shape {labels.shape}")
    lowest, highest = int(labels.min()), int(labels.max())
    if not -1 <= lowest <= highest < classes:
        found = f"{lowest} to {highest}"
        raise UsageError(f"labels run from 0 to {classes - 1}, the last class, with -1 for unlabelled; got {found}")
    return lowest


IGNORED = 255
"""Label of pixels that do not count."""
