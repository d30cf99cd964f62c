"""Near misses and their like, taught by a few drawn sequences and found in others, beside two controls.

One control is shown the middle frame alone, by the same recipe. The other knows colours and places: the colour
histograms of nine cells of each frame, their means over the same parts of the time and their maxima, taught by the same
method. Sequences that teach and those that are asked are of different collections.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor
from tqdm import tqdm

from densevl.api.loading import load
from densevl.classifiers.contracts import Examples
from densevl.core.features import TextEmbeddings
from densevl.core.histograms import colour_grid
from densevl.core.vocabulary import Vocabulary
from densevl.datasets.scenes.sequences import KINDS, draw_sequence
from densevl.metrics.table import Spread, Table
from densevl.tasks.sequences.describing import PARTS, describe, over_time
from densevl.tasks.sequences.vectors import SequenceEncoder
from densevl.tasks.teaching.fitting import fit_head
from densevl.tasks.teaching.teacher import METHOD

__all__ = ["sequences_table"]

SHOTS, SEEDS = 12, (0, 1, 2)
"""Sequences of each kind that teach; number of the runs."""

TEACHING, ASKED = 500, 600
"""First of the collections of sequences: those that teach, and those that are asked."""

CELLS = 3

ROWS = ("the nearest things, over time", "its middle frame alone", "colour histograms, over time")


def sequences_table(scenes: int) -> Table:
    """Measure the table.

    Args:
        scenes: number of sequences that are asked in each run.
    """
    encoder = load("mini", device="cpu", lazy=True).sequences
    figures: dict[str, list[Sequence[float]]] = {row: [] for row in ROWS}
    for seed in tqdm(SEEDS, desc="seeds", disable=None):
        taught, labels = _vectors(encoder, TEACHING + seed, SHOTS * len(KINDS))
        asked, truths = _vectors(encoder, ASKED + seed, scenes)
        for row in ROWS:
            figures[row].append(_figures(taught[row], labels, asked[row], truths))
    note = (
        f"{SHOTS} sequences of each of {', '.join(KINDS)} teach, {scenes} others of 8 frames of 96×96 pixels are "
        f"asked; `mini`, {METHOD}; mean ± standard deviation of {len(SEEDS)} collections. "
        f"Chance is {100 / len(KINDS):.0f}."
    )
    rows = [(row, [Spread(values) for values in zip(*found, strict=True)]) for row, found in figures.items()]
    return Table(("sequences, percent right", "all five kinds", "near misses", "collisions"), rows, note)


def _vectors(
    encoder: SequenceEncoder, seed: int, count: int
) -> tuple[Mapping[str, Float[Tensor, "n _"]], Float[Tensor, " n"]]:
    """The vectors of the sequences of a collection by row, and the kind of each."""
    found: dict[str, list[Tensor]] = {row: [] for row in ROWS}
    labels = []
    for index in tqdm(range(count), desc="sequences", disable=None, leave=False):
        drawn = draw_sequence(seed, index)
        things = list(encoder.things(drawn.frames))
        found[ROWS[0]].append(describe(things))
        found[ROWS[1]].append(describe([things[len(things) // 2]]))
        found[ROWS[2]].append(_colours(drawn.frames))
        labels.append(list(KINDS).index(drawn.kind))
    return {row: torch.stack(vectors) for row, vectors in found.items()}, torch.tensor(labels)


def _colours(frames: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> Float[Tensor, " d"]:
    """The histograms of frames over time, as a unit vector."""
    seen = torch.from_numpy(np.stack([colour_grid(frame, CELLS).ravel() for frame in frames]))
    return F.normalize(torch.cat([over_time(seen).flatten() / PARTS**0.5, seen.amax(0)]), dim=0)


def _figures(taught: Tensor, labels: Tensor, asked: Tensor, truths: Tensor) -> list[float]:
    """Percent of all that are right, of the near misses, and of the collisions."""
    vocabulary = Vocabulary.of([[kind] for kind in KINDS])
    none = TextEmbeddings(taught[:0], labels[:0], vocabulary, "sequences", "none")
    head, _ = fit_head(METHOD, none, Examples(taught, labels, "sequences"))
    right = (head.classifier(asked).argmax(1) == truths).float()
    wanted = [list(KINDS).index(kind) for kind in ("near miss", "collision")]
    return [100 * float(right.mean()), *(100 * float(right[truths == kind].mean()) for kind in wanted)]
