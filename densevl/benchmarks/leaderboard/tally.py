"""What a head has reached on a data set so far: kept in a file, so that an interrupted run goes on."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from densevl.core.files import atomic_write

__all__ = ["Tally", "fingerprint"]


def fingerprint(protocol: Mapping[str, Any]) -> str:
    """Short name of everything that decides a figure."""
    text = json.dumps(protocol, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


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

    def write(self, path: Path, key: str) -> None:
        """Write it, whole or not at all.

        Args:
            path: file ``.npz``.
            key: :func:`fingerprint` of what it was counted with.
        """
        facts = {name: getattr(self, name) for name in ("images", "failures", "timed", "seconds")}
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, matrix=self.matrix.numpy(), facts=json.dumps({"key": key, **facts}))
