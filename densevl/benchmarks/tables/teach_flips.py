"""Views and mirror images as further views of the examples that classes are taught by, on scenes that decide nothing.

The vectors are those of ``densevl teach``: scenes are written as files with true masks, and read as a user's are. Each
row takes some of the same views of the same shots, so that nothing but the views differs. The mini models have seen
mirrored scenes while they were trained.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from densevl.api.loading import load
from densevl.api.model import Model
from densevl.api.teaching import VIEWS
from densevl.benchmarks.tables.shifted_regions import SIZE, ShiftedRegions, shifted_regions
from densevl.benchmarks.tables.teach import (
    HELD_OUT_SCENES,
    SEEDS,
    TEMPERATURE,
    TRAINING,
    Shift,
    draw_shots,
    measured_on,
)
from densevl.classifiers.contracts import Examples
from densevl.core.drawing.overlay import write_image
from densevl.core.features import TextEmbeddings
from densevl.core.vocabulary import Vocabulary
from densevl.datasets.examples import Example
from densevl.datasets.scenes.shifts import shifted_scene
from densevl.metrics.table import Spread, Table
from densevl.tasks.teaching.fitting import fit_head
from densevl.tasks.teaching.region_vectors import region_vectors
from densevl.tasks.teaching.teacher import METHOD

__all__ = ["SHOWN", "some_views", "taught_vectors", "teach_flips_table"]

SHOTS = (4, 8)
SCENES = {"clean": 400, "new colours": 250}
"""Training scenes of each shift; some classes have fewer than 8 examples in them."""

SHOWN: Mapping[str, Sequence[int]] = {
    "no views": (0,),
    "mirror image": (0, VIEWS + 1),
    f"{VIEWS} views": range(VIEWS + 1),
    f"{VIEWS} views, mirror image": range(2 * (VIEWS + 1)),
}
"""Views that count, by the name of the row: the example, its views, then all of these in the mirror image."""


def teach_flips_table(scenes: int) -> Table:
    """Measure the table.

    Args:
        scenes: number of held-out scenes.
    """
    model, rows, sizes = load("mini", device="cpu", lazy=True), list[tuple[str, Sequence[float | Spread]]](), []
    for name, count in SCENES.items():
        held_out = shifted_regions(model, name, HELD_OUT_SCENES, scenes)
        with TemporaryDirectory() as folder:
            vectors = taught_vectors(model, name, count, held_out.names, Path(folder))
        shift = _shift(model, vectors, held_out)
        for shown, views in SHOWN.items():
            rows.append((f"{name}: {shown}", [_accuracy(shift, vectors, views, shots) for shots in SHOTS]))
        sizes.append(f"{len(held_out.labels)} of {name}")
    note = (
        f"True masks of objects of held-out scenes, {' and '.join(sizes)}; {METHOD}, "
        f"{model.embedder.encoder.model_id}; mean ± standard deviation of seeds {', '.join(map(str, SEEDS))}."
    )
    return Table(("accuracy", *(f"{shots} shots" for shots in SHOTS)), rows, note)


def taught_vectors(model: Model, shift: str, scenes: int, names: Sequence[str], folder: Path) -> Examples:
    """The objects of training scenes with all their views, as ``densevl teach --flip`` makes vectors of them.

    Args:
        model: its pipeline makes the vectors.
        shift: one of :data:`densevl.datasets.scenes.shifts.SHIFTS`.
        scenes: number of scenes.
        names: of the classes.
        folder: where scenes and masks are written.
    """
    examples = []
    for index in range(scenes):
        drawn, path = shifted_scene(shift, TRAINING, index, SIZE), folder / f"{index}.png"
        write_image(path, drawn.image)
        for number, item in enumerate(drawn.objects):
            mask = folder / f"{index}.{number}.png"
            write_image(mask, np.repeat(255 * item.mask.astype(np.uint8)[..., None], 3, axis=2))
            examples.append(Example(path, item.name, f"{path} {number}", mask=mask))
    labels = [names.index(example.name) for example in examples]
    return region_vectors(examples, labels, model.pipeline, VIEWS, flip=True)


def some_views(vectors: Examples, chosen: Int[Tensor, " m"], views: Sequence[int]) -> Examples:
    """Some views of some examples, those of an example with the weight of one.

    Args:
        vectors: of examples, view by view.
        chosen: numbers of examples.
        views: numbers of views, the example itself being the first.
    """
    assert vectors.things is not None
    count = int(vectors.things.max()) + 1
    found = vectors.chosen(torch.cat([view * count + chosen for view in views]))
    places = torch.arange(len(chosen)).repeat(len(views))
    return found._replace(weights=torch.full((len(places),), 1 / len(views)), things=places)


def _shift(model: Model, vectors: Examples, held_out: ShiftedRegions) -> Shift:
    """The examples themselves beside what is measured."""
    assert vectors.things is not None
    assert vectors.groups is not None
    own = torch.arange(int(vectors.things.max()) + 1)
    training = ShiftedRegions(vectors.vectors[own], vectors.labels[own], vectors.groups[own], held_out.names)
    texts, vocabulary = model.embed_texts(list(held_out.names)), Vocabulary.of([[name] for name in held_out.names])
    known = TextEmbeddings(texts.vectors, torch.arange(len(held_out.names)), vocabulary, texts.model_id, "none")
    return Shift(training, held_out, known)


def _accuracy(shift: Shift, vectors: Examples, views: Sequence[int], shots: int) -> Spread:
    """Accuracy on the held-out objects by so many shots of each class."""
    found = []
    for seed in SEEDS:
        examples = some_views(vectors, draw_shots(shift.training.labels, shots, seed), views)
        head, _ = fit_head(METHOD, shift.texts, examples, TEMPERATURE)
        found.append(measured_on(head.classifier, shift)[0])
    return Spread(found)
