"""Images of a run that are not of the kind that its model knows: the test, their records, and a line of them all."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from densevl.api.jobs.runs import fingerprint
from densevl.api.loading import Loading
from densevl.api.model import Model
from densevl.classifiers.familiarity import FEWEST, Familiarity
from densevl.core.engine import Worker
from densevl.core.errors import UsageError, WeightsError
from densevl.core.files import InputFile, expand_inputs, file_state
from densevl.core.inputs import Input
from densevl.weights import cache_dir
from densevl.weights.opened import OpenedWeights

__all__ = ["KindRecipe", "KindWorker", "Unfamiliar", "familiarity_record", "known_by", "reference_images"]

NAMED = 3
"""Images that a line names; it counts the others."""

TOGETHER = 8
"""Images whose kinds are told together."""


def reference_images(reference: str) -> list[InputFile]:
    """The images of a folder, a glob or a file that show what is known; none for a file of statistics.

    Raises:
        UsageError: where there is nothing, or there are too few.
    """
    if reference.endswith(".safetensors"):
        if not Path(reference).is_file():
            raise UsageError(f"no such file: {reference!r}")
        return []
    inputs = expand_inputs([reference])
    if len(inputs) < FEWEST:
        raise UsageError(f"{reference}: give at least {FEWEST} images of the kind that is known; got {len(inputs)}")
    return inputs


def known_by(model: Model, reference: str) -> Familiarity:
    """What tells the images of a user from others, by the features of a model; fitted once and then kept in the cache.

    Args:
        model: the loaded model.
        reference: a folder or a glob of images, or a file that :meth:`Familiarity.save` wrote.

    Raises:
        ImageError: where an image cannot be read.
        UsageError: where there are too few images, or the file was made with another encoder.
        WeightsError: where the file is damaged.
    """
    inputs = reference_images(reference)
    if not inputs:
        known = _read(Path(reference))
        known.check(model.encoder_id)
        return known
    images = [[str(item.path.absolute()), *file_state(item.path)] for item in inputs]
    kept = cache_dir() / "known" / f"{fingerprint(model.view, images)}.safetensors"
    try:
        return _read(kept)
    except WeightsError:  # none yet, or one that is damaged
        known = model.learn_known([item.path for item in inputs], f"images of {reference}")
        known.save(kept)
        return known


def _read(path: Path) -> Familiarity:
    opened = OpenedWeights(path, None)
    return Familiarity.of_state(opened.state, opened.metadata, path)


def familiarity_record(known: Familiarity, p: float) -> dict[str, Any]:
    """What is known of an image's kind, as JSON values: the p-value, the known kind, whether it counts as unknown."""
    return {"p": round(p, 6), "known": known.what, "unknown": p <= known.level}


class Unfamiliar:
    """Counts the images that are not of the kind that a model knows.

    Args:
        model: its name.
        cure: the name of a model that knows other images; empty for none.

    Attributes:
        unknown: whether each image is of another kind, by its name.
    """

    def __init__(self, model: str, cure: str = "dinoiser") -> None:
        self.model, self.cure = model, cure
        self.unknown: dict[str, bool] = {}
        self._first: Mapping[str, Any] | None = None

    def note(self, name: str, record: Mapping[str, Any] | None) -> None:
        """Take account of an image and its :func:`familiarity_record`; None where nothing is known of its kind."""
        if record is not None:
            self.unknown[name] = bool(record["unknown"])
            if record["unknown"] and self._first is None:
                self._first = record

    @property
    def line(self) -> str:
        """The line for people; empty where every image is of the known kind."""
        found, record = [name for name, unknown in self.unknown.items() if unknown], self._first
        if record is None:
            return ""
        kind = record["known"]
        whose = f"the {kind}" if kind.startswith("images of ") else f"the {kind} that {self.model} knows"
        names = ", ".join(found[:NAMED]) + (", …" if len(found) > NAMED else "")
        if len(self.unknown) == 1:
            said = f"{names} does not look like {whose} (p = {record['p']:.3g})"
        else:
            said = f"{len(found)} of {len(self.unknown)} images do not look like {whose}: {names}"
        if kind.startswith("images of ") or not self.cure:
            return f"densevl: {said}; what is said of it may mean nothing"
        cure = f"take a model of photos: photo, or a CLIP such as {self.cure}"
        return f"densevl: {said}; what is said of it means nothing; {cure}"

    def report(self) -> None:
        """Print the line on standard error, where there is one."""
        if self.line:
            print(self.line, file=sys.stderr)


class KindWorker(Worker[Input, UInt8[np.ndarray, "H W 3"], dict[str, Any], dict[str, Any]]):
    """Reads images and says of each, as :func:`familiarity_record` does, whether it is of a known kind.

    Args:
        model: the loaded model.
        known: the test of the kind.
    """

    batch = TOGETHER

    def __init__(self, model: Model, known: Familiarity) -> None:
        self.model, self.known = model, known
        model.known = known

    def read(self, item: Input) -> UInt8[np.ndarray, "H W 3"]:
        """The image."""
        return item.read()

    def make(self, items: Sequence[Input], read: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> list[dict[str, Any]]:
        """The records of images."""
        return [familiarity_record(self.known, p) for p in self.model.familiarity(list(read))]

    def write(self, item: Input, made: dict[str, Any]) -> dict[str, Any]:
        """Nothing is written; the record is handed on."""
        return made


@dataclass(frozen=True)
class KindRecipe:
    """How another process makes a :class:`KindWorker`.

    Attributes:
        loading: of the model.
        known: the test of the kind.
    """

    loading: Loading
    known: Familiarity

    def __call__(self) -> KindWorker:
        """The worker.

        Raises:
            DensevlError: where the model cannot be loaded there.
        """
        return KindWorker(self.loading.load(), self.known)
