"""Records: everything that is kept of a labelled image, so that formats need no model.

A record keeps the mask of each class, the background among them, so that the label map can be made of it again; the
score of each connected part; and the things that a mask maker saw, where they were wanted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float16, Int32, UInt8

from densevl.core.errors import ImageError, UsageError, suggestion
from densevl.core.geometry import Size
from densevl.core.inputs import Input, open_input
from densevl.core.inputs.urls import is_url
from densevl.core.labelmap import LabelMap
from densevl.core.masks import check_masks
from densevl.core.segments import MIN_AREA, Segment, class_segments, connected_segments, labels_of, segments_of_masks
from densevl.core.vocabulary import Vocabulary
from densevl.weights import is_offline

__all__ = ["INSTANCES", "ImageRecord", "Instances"]

INSTANCES = ("none", "connected", "masks")
"""One mask for each class, one for each connected part of a class, or one for each thing that the mask maker saw."""


_CHANGED = "has changed since it was segmented; segment it again"


@dataclass(frozen=True)
class Instances:
    """The choice of what counts as one thing.

    Attributes:
        mode: one of :data:`INSTANCES`.
        min_area: connected parts and things with fewer pixels are left out; masks of whole classes never are.

    Raises:
        UsageError: where the mode is unknown or the area is negative.
    """

    mode: str = "none"
    min_area: int = MIN_AREA

    def __post_init__(self) -> None:
        if self.mode not in INSTANCES:
            raise UsageError(f"instances {self.mode!r} are unknown; {suggestion(self.mode, INSTANCES)}")
        if self.min_area < 0:
            raise UsageError(f"the least area is a number of pixels from 0 on; got {self.min_area}")

    def __str__(self) -> str:
        """The choice in a word, equal where nothing differs."""
        return self.mode if self.mode == "none" else f"{self.mode}:{self.min_area}"


@dataclass(frozen=True, eq=False)
class ImageRecord:
    """A labelled image.

    Attributes:
        name: of its results below their folder, such as ``day1/cat``.
        file_name: of the image below the folder of images, such as ``day1/cat.jpg``.
        size: (height, width).
        vocabulary: the classes.
        classes: one segment for each class in the image, the background among them.
        things: what the mask maker saw, and what it left of each class; None where it was not asked.
        place: where the image is, see :class:`densevl.core.inputs.Input`; empty where it is nowhere.
        state: of the image when it was labelled; empty where it does not matter.
        instances: what counts as one thing.
        image: the image where it is at hand; else it is read from its place when a format needs it.
        known: the label map where it is at hand; else it is made of the classes when a format needs it.
        probabilities: of the classes at cells, where the image was labelled just now and they were wanted.
    """

    name: str
    file_name: str
    size: Size
    vocabulary: Vocabulary
    classes: tuple[Segment, ...]
    things: tuple[tuple[Segment, ...], tuple[Segment, ...]] | None = None
    place: str = ""
    state: tuple[int, ...] = ()
    instances: Instances = field(default_factory=Instances)
    image: UInt8[np.ndarray, "H W 3"] | None = None
    known: Int32[np.ndarray, "H W"] | None = None
    probabilities: Float16[np.ndarray, "k h w"] | None = None

    @classmethod
    def of(
        cls,
        result: LabelMap,
        name: str,
        file_name: str,
        place: str = "",
        state: tuple[int, ...] = (),
        masks: Bool[np.ndarray, "n _ _"] | None = None,
        instances: Instances | None = None,
        probabilities: Float16[np.ndarray, "k h w"] | None = None,
    ) -> "ImageRecord":
        """The record of a label map.

        Args:
            result: the label map.
            name: of its results.
            file_name: of the image.
            place: where the image is.
            state: of the image.
            masks: of the mask maker, the best first; None where it was not asked.
            instances: what counts as one thing.
            probabilities: of the classes at cells, where they are wanted.
        """
        labels = result.labels.astype(np.int32)
        things = None if masks is None else segments_of_masks(labels, masks, result.best)
        return cls(
            name,
            file_name,
            (labels.shape[0], labels.shape[1]),
            result.vocabulary,
            class_segments(labels, result.best),
            things,
            place,
            state,
            instances or Instances(),
            result.image,
            labels,
            probabilities,
        )

    @cached_property
    def labels(self) -> Int32[np.ndarray, "H W"]:
        """The label map, -1 where a pixel has none."""
        return labels_of(self.classes, self.size) if self.known is None else self.known

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """What formats of segments write: the classes or the things, without the background.

        Raises:
            UsageError: where things are wanted and the mask maker was not asked.
        """
        least = self.instances.min_area
        if self.instances.mode == "none":
            segments = self.classes
        elif self.instances.mode == "connected":
            segments = connected_segments(self.classes, least)
        elif self.things is None:
            raise UsageError(
                f"the mask maker was not asked for {self.name}; segment again with --instances masks, or choose "
                "--instances connected"
            )
        else:
            seen, left = self.things
            segments = (*(thing for thing in seen if thing.area >= least), *connected_segments(left, least))
        return tuple(segment for segment in segments if segment.label != self.vocabulary.background)

    def pixels(self) -> UInt8[np.ndarray, "H W 3"]:
        """The image.

        Raises:
            ImageError: where it cannot be read any more, or has another size now.
        """
        if self.image is not None:
            return self.image
        pixels = self._input().read()
        if pixels.shape[:2] != tuple(self.size):
            raise ImageError(f"{self.place} {_CHANGED}")
        return pixels

    @property
    def file(self) -> Path | None:
        """The file that holds the image and nothing else; None for images in archives and videos, or on the web.

        Raises:
            ImageError: where it is gone or has changed.
        """
        path = Path(self.place)
        if not self.place or is_url(self.place) or any(folder.is_file() for folder in path.parents):
            return None
        self._input()
        return path

    def _input(self) -> Input:
        if not self.place:
            raise ImageError(f"{self.file_name} was kept nowhere; only its results were: segment it again")
        item = open_input(self.place, is_offline())
        state = tuple(item.state())
        if not state:
            raise ImageError(f"{self.place} is gone; put the image back there, or segment it again")
        if self.state and state != self.state:
            raise ImageError(f"{self.place} {_CHANGED}")
        return item

    def with_instances(self, instances: Instances) -> "ImageRecord":
        """The same record with another choice of what counts as one thing."""
        return replace(self, instances=instances)

    def as_json(self) -> dict[str, Any]:
        """The record as values for JSON; the vocabulary and the choice of instances are kept elsewhere."""
        kept: dict[str, Any] = {
            "image": {"file_name": self.file_name, "height": self.size[0], "width": self.size[1]},
            "source": [self.place, *self.state],
            "classes": [self._as_json(segment) for segment in self.classes],
        }
        if self.things is not None:
            kept["things"], kept["rest"] = ([self._as_json(segment) for segment in some] for some in self.things)
        return kept

    def _as_json(self, segment: Segment) -> dict[str, Any]:
        kept = {"label": segment.label, "name": self.vocabulary.names[segment.label], "mask": dict(segment.mask)}
        if segment.score is not None:
            kept["score"] = segment.score
        return kept if segment.parts is None else {**kept, "parts": list(segment.parts)}

    @classmethod
    def from_json(
        cls, kept: Mapping[str, Any], name: str, vocabulary: Vocabulary, instances: Instances | None = None
    ) -> "ImageRecord":
        """The record of what :meth:`as_json` gave.

        Args:
            kept: the values.
            name: of the results.
            vocabulary: the classes.
            instances: what counts as one thing.

        Raises:
            UsageError: where the values are no record of this vocabulary.
        """
        try:
            image, (place, *state) = kept["image"], kept["source"]
            size = (int(image["height"]), int(image["width"]))
            classes, things, rest = (
                tuple(_segment(value, len(vocabulary)) for value in kept.get(key, ()))
                for key in ("classes", "things", "rest")
            )
            check_masks([segment.mask for segment in (*classes, *things, *rest)], size)
            return cls(
                name,
                str(image["file_name"]),
                size,
                vocabulary,
                classes,
                (things, rest) if "things" in kept else None,
                str(place),
                tuple(map(int, state)),
                instances or Instances(),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UsageError(f"the record of {name} cannot be used ({error!r}); segment the image again") from error


def _segment(value: Mapping[str, Any], classes: int) -> Segment:
    label, score, parts = int(value["label"]), value.get("score"), value.get("parts")
    if not 0 <= label < classes:
        raise ValueError(f"label {label} of {classes} classes")
    return Segment(
        label,
        {"size": list(value["mask"]["size"]), "counts": str(value["mask"]["counts"])},
        None if score is None else float(score),
        None if parts is None else tuple(map(float, parts)),
    )
