"""What a head has reached on a data set so far: kept in a file, so that an interrupted run goes on."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from densevl.core.files import atomic_write

__all__ = ["Counted", "Tally", "fingerprint"]


def fingerprint(protocol: Mapping[str, Any]) -> str:
    """Short name of everything that decides a figure."""
    text = json.dumps(protocol, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Counted(NamedTuple):
    """What was counted of an image.

    Attributes:
        places: of the pairs of classes that some pixel has, true class times the number of classes plus given class.
        counts: pixels of each of these pairs.
        seconds: from the image as read to its label map; None where they do not count.
        failed: whether it could not be labelled.
    """

    places: Int64[np.ndarray, " n"]
    counts: Int64[np.ndarray, " n"]
    seconds: float | None
    failed: bool = False

    @classmethod
    def of(cls, matrix: Int64[Tensor, "k k"], seconds: float | None) -> "Counted":
        """Of the pixels of an image by true and given class."""
        values = matrix.flatten().numpy()
        (places,) = values.nonzero()
        return cls(places.astype(np.int64), values[places], seconds)

    @classmethod
    def none(cls) -> "Counted":
        """Of an image that could not be labelled."""
        return cls(np.zeros(0, np.int64), np.zeros(0, np.int64), None, True)


@dataclass(eq=False)
class Tally:
    """Pixels by true and given class, and the time, over the first images of a data set.

    Attributes:
        matrix: pixels by true class (rows) and given class (columns).
        images: how many images were labelled or could not be.
        failures: how many of them could not.
        timed: images whose time counts; the first one of a run does not, where there are more.
        seconds: that they took, from the image as read to its label map.
    """

    matrix: Int64[Tensor, "k k"]
    images: int = 0
    failures: int = 0
    timed: int = 0
    seconds: float = 0.0

    @property
    def per_second(self) -> float:
        """Images a second; nan where none was timed."""
        return self.timed / self.seconds if self.seconds else float("nan")

    @classmethod
    def start(cls, classes: int) -> "Tally":
        """Nothing counted yet."""
        return cls(torch.zeros(classes, classes, dtype=torch.int64))

    @classmethod
    def read(cls, path: Path, classes: int, key: str) -> "Tally":
        """What a file holds; nothing counted where there is none, or it is of other settings or damaged."""
        try:
            with np.load(path, allow_pickle=False) as file:
                facts = json.loads(str(file["facts"]))
                matrix = torch.from_numpy(file["matrix"].astype(np.int64))
            if facts.pop("key") == key and matrix.shape == (classes, classes):
                return cls(matrix, **facts)
        except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile):
            pass
        return cls.start(classes)

    def add(self, found: Counted) -> None:
        """Count the next image."""
        self.matrix.view(-1)[torch.from_numpy(found.places)] += torch.from_numpy(found.counts)
        self.images, self.failures = self.images + 1, self.failures + found.failed
        if found.seconds is not None:
            self.timed, self.seconds = self.timed + 1, self.seconds + found.seconds

    def write(self, path: Path, key: str) -> None:
        """Write it, whole or not at all.

        Args:
            path: file ``.npz``.
            key: :func:`fingerprint` of what it was counted with.
        """
        facts = {name: getattr(self, name) for name in ("images", "failures", "timed", "seconds")}
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, matrix=self.matrix.numpy(), facts=json.dumps({"key": key, **facts}))
