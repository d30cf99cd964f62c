"""A head for sequences from examples, and what classes say of sequences."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor
from tqdm import tqdm

from densevl.classifiers.classes import Classes
from densevl.classifiers.contracts import Examples as LabelledVectors
from densevl.classifiers.contracts import check_classifier
from densevl.classifiers.evidence import SHARE
from densevl.core.engine import HERE, Engine, Worker, all_of
from densevl.core.errors import UsageError
from densevl.core.geometry import Size
from densevl.core.inputs import Input
from densevl.datasets.examples import SequenceExample, frames_of
from densevl.tasks.sequences.vectors import SequenceEncoder
from densevl.tasks.teaching.checking import Checked, checked_vectors, truths_of
from densevl.tasks.teaching.supporting import supported
from densevl.tasks.teaching.teacher import Taught, TextSpace, teach_head, vocabulary_of

__all__ = ["check_sequences", "sequence_vectors", "step_of", "teach_sequences"]


Described = tuple[Float32[np.ndarray, " d"], Size]
"""The vector of a sequence, and (height, width) of its first frame."""


class SequenceVectors(NamedTuple):
    """What sequences look like.

    Attributes:
        vectors: unit vector of each.
        sizes: (height, width) of the first frame of each.
    """

    vectors: Float[Tensor, "n d"]
    sizes: tuple[Size, ...]


@dataclass(frozen=True)
class ShownSequence:
    """A sequence by its frames.

    Attributes:
        path: its video, archive or folder of frames.
        frames: that are taken, in their order.
    """

    path: Path
    frames: Sequence[Input]

    @property
    def place(self) -> str:
        """The sequence in words."""
        return str(self.path)


class SequenceWorker(Worker[ShownSequence, None, Described, Described]):
    """Reads the frames of sequences and makes their vectors.

    Args:
        encoder: makes a vector of frames.
    """

    batch = 1

    def __init__(self, encoder: SequenceEncoder) -> None:
        self.encoder = encoder

    def read(self, item: ShownSequence) -> None:
        """Nothing: a sequence may be long, and a few of its frames are held at a time."""

    def make(self, items: Sequence[ShownSequence], read: Sequence[None]) -> list[Described]:
        """The vectors of sequences."""
        return [self._described(item.frames) for item in items]

    def write(self, item: ShownSequence, made: Described) -> Described:
        """Nothing is written; the vector is handed on."""
        return made

    def _described(self, frames: Sequence[Input]) -> Described:
        seen: list[Size] = []

        def images() -> Iterator[UInt8[np.ndarray, "_ _ 3"]]:
            for frame in frames:
                image = frame.read()
                seen.append((image.shape[0], image.shape[1]))
                yield image

        return self.encoder.encode(images()).numpy(), seen[0]


@dataclass(frozen=True)
class SequenceRecipe:
    """How another process makes its worker.

    Attributes:
        encoder: makes what makes vectors; it can be sent there.
    """

    encoder: Callable[[], SequenceEncoder]

    def __call__(self) -> SequenceWorker:
        """The worker.

        Raises:
            DensevlError: where the model cannot be loaded there.
        """
        return SequenceWorker(self.encoder())


def sequence_vectors(
    examples: Sequence[SequenceExample],
    encoder: SequenceEncoder,
    every: int = 1,
    engine: Engine = HERE,
    again: Callable[[], SequenceEncoder] | None = None,
) -> SequenceVectors:
    """The vectors of sequences.

    Args:
        examples: of which the frames are read.
        encoder: makes a vector of frames.
        every: step between the frames that are taken.
        engine: where sequences are encoded; the vectors are the same to the last bit where its threads are.
        again: makes the encoder in other processes; needed where the engine has any.

    Raises:
        ImageError: where a frame cannot be read.
        UsageError: where a sequence has no frame.
    """
    items = [ShownSequence(example.path, frames_of(example.path, every)) for example in examples]
    recipe = None if again is None else SequenceRecipe(again)
    described = all_of(engine, recipe, items, SequenceWorker(encoder))
    shown = tqdm(described, desc="sequences", unit="sequence", total=len(items), delay=2, disable=None)
    vectors, sizes = zip(*shown, strict=True)
    return SequenceVectors(torch.stack(list(map(torch.from_numpy, vectors))), sizes)


def teach_sequences(
    encoder: SequenceEncoder,
    examples: Sequence[SequenceExample],
    method: Any = None,
    before: Classes | None = None,
    model: Mapping[str, Any] | None = None,
    every: int = 1,
    engine: Engine = HERE,
    again: Callable[[], SequenceEncoder] | None = None,
) -> Taught:
    """Classes of sequences, with what they say of held-out ones.

    Args:
        encoder: makes a vector of frames.
        examples: sequences.
        method: a classifier method, its config or its name; it gets no texts, since none describes a sequence.
        before: earlier classes, which are gone on from, and whose step between frames is taken.
        model: what loads the model.
        every: step between the frames that are taken.
        engine: where sequences are encoded.
        again: makes the encoder in other processes; needed where the engine has any.

    Raises:
        ImageError: where a frame cannot be read.
        UsageError: where there is one class alone, a sequence has no frame, or the method cannot use them.
    """
    vocabulary, labels = vocabulary_of(examples, before)
    every = every if before is None else step_of(before)
    shots = Counter(example.name for example in examples)
    facts = {"images": len(examples), "shots": dict(shots), "views": 0, "flip": False, "every": every}
    found = sequence_vectors(examples, encoder, every, engine, again)
    vectors = LabelledVectors(found.vectors, torch.tensor(labels), encoder.model_id, encoder.space)
    space, earlier = TextSpace(_no_text, encoder.model_id, 100.0), None if before is None else before.heads["sequences"]
    head, held = teach_head(vectors, vocabulary, space, method, earlier, facts)
    head = replace(head, facts={**head.facts, "words_unknown": []})
    boxes = [(0.0, 0.0, float(width), float(height)) for height, width in found.sizes]
    head = supported(head, held, vectors, boxes, [str(example.path) for example in examples], earlier)
    classes = Classes(vocabulary, {"sequences": head}, model or {})
    return Taught(classes, tuple(examples), labels, {"sequences": held})


def step_of(classes: Classes) -> int:
    """The step between the frames that classes of sequences were taught by."""
    return int(classes.heads["sequences"].facts["taught"][-1].get("every", 1))


@torch.inference_mode()
def check_sequences(
    classes: Classes, examples: Sequence[SequenceExample], encoder: SequenceEncoder, share: float = SHARE
) -> Checked:
    """What classes say of labelled sequences.

    Args:
        classes: taught for sequences.
        examples: that they were not taught by; some may be of no class.
        encoder: makes a vector of frames.
        share: of known things that may be called unknown, in (0, 0.5].

    Raises:
        ImageError: where a frame cannot be read.
        UsageError: where no example is of a class, or the classes were taught for another model.
    """
    check_classifier(classes.head("sequences"), encoder.model_id, encoder.space)
    truths = truths_of(classes, examples)
    vectors = sequence_vectors(examples, encoder, step_of(classes)).vectors
    return checked_vectors(classes, "sequences", examples, truths, vectors, share)


def _no_text(texts: list[str]) -> NoReturn:
    """Say that the names of sequences are no texts of their space, so that no method takes them for some."""
    raise UsageError("vectors of sequences cannot be compared with texts")
