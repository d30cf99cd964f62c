"""Methods of tuning beside the text alone and beside closed-form teaching: few noisy crops of scenes, and new classes.

Shots are drawn by seed from the objects of training scenes, and all methods see the same. Few shots: all 64 pairs of
colour and shape, measured on held-out scenes. Base to new: 40 of the pairs that the mini CLIP knows are tuned and told
apart by themselves, and so are 16 others, whose names alone are given to the tuned encoder. The vectors are those of
crops, as ``mini-clip`` embeds regions, and no setting was chosen on these seeds.
"""

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import harmonic_mean
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from densevl.api.loading import load
from densevl.benchmarks.tables.kept_runs import KeptRuns
from densevl.benchmarks.tables.shifted_examples import of_names, shifted_examples, shots_of
from densevl.classifiers.classes import Classes
from densevl.core.errors import UsageError, suggestion
from densevl.datasets.examples import Example
from densevl.datasets.scenes import HELD_OUT
from densevl.datasets.scenes.grounds import GROUNDS
from densevl.datasets.scenes.language import class_descriptions
from densevl.datasets.scenes.scene import CLASSES, COLOURS
from densevl.datasets.scenes.shapes import SHAPES
from densevl.encoders.tuning.bound import bound
from densevl.encoders.tuning.contracts import ClassTexts, Look
from densevl.metrics.calibration import reliability
from densevl.metrics.table import Cell, Spread, Table
from densevl.tasks.teaching.region_vectors import region_vectors
from densevl.training.tuning.methods import methods, of_orders

__all__ = ["tune_table"]

MODEL, SHIFT, SHOTS, SEEDS = "mini-clip", "noise", 8, (0, 1, 2)
CROPS: Mapping[str, Any] = {"embedder.size": 64, "embedder.mode": "keep"}
"""Half of the side that the mini CLIP was trained with: a quarter of the time."""
TRAINING, MEASURED = 300, 301
"""Collections of scenes: what shots are drawn from, and what is measured."""
ENOUGH = 500
"""Training scenes that hold enough examples of each class."""

NAMES = CLASSES[len(GROUNDS) :]
KNOWN = [name for name in NAMES if tuple(name.split()) not in HELD_OUT]
NEW = [f"{colour} {SHAPES[(place + step) % 8]}" for place, colour in enumerate(COLOURS) for step in (0, 4)]
"""Each colour and each shape is twice among them; the mini CLIP knows them all."""
BASE = [name for name in KNOWN if name not in NEW]

HEAD = ("accuracy", "8 shots", "ECE", "base", "new", "harmonic mean", "s", "numbers")
ALONE = ("text", "gda-prior")
"""Rows of methods that tune nothing."""


def tune_table(
    scenes: int, models: Sequence[str] = (), out: str | Path | None = None, seeds: Sequence[int] = SEEDS
) -> Table:
    """Measure the table.

    Args:
        scenes: number of held-out scenes.
        models: methods of tuning; none for all that tune for classes at once.
        out: folder that keeps the result of each run; None to keep nothing.
        seeds: of the shots.

    Raises:
        UsageError: where a method is unknown.
    """
    names = tuple(models) or tuple(name for name, entry in methods().items() if _is_row(name, entry["settings"]))
    for name in names:
        if name not in methods():
            raise UsageError(f"method {name!r} is unknown; {suggestion(name, methods())}")
    kept, wanted = KeptRuns(out), (*ALONE, *names)
    rows: list[tuple[str, Sequence[Cell]]] = []
    with tqdm(total=len(wanted) * len(seeds), desc="methods", disable=None) as progress:
        for name in wanted:
            runs = []
            for seed in seeds:
                settings = {"scenes": scenes, "shots": SHOTS, "method": dict(methods().get(name, {}))}
                runs.append(kept(f"{name}-{seed}", settings, lambda: _run(name, scenes, seed)))  # noqa: B023
                progress.update()
            cells = [Spread([run[column] for run in runs]) for column in HEAD[1:-1]]
            rows.append((name, [*cells, f"{runs[0][HEAD[-1]]:,.0f}"]))
    note = (
        f"{SHOTS} noisy crops a class of {MODEL}, {scenes} held-out scenes, mean ± standard deviation of seeds "
        f"{', '.join(map(str, seeds))}; {len(BASE)} base and {len(NEW)} new pairs; s: processor time of tuning for all "
        "64; numbers: that were tuned. The text alone and the closed form (gda-prior) tune nothing in the encoder."
    )
    return Table(HEAD, rows, note)


def _run(name: str, scenes: int, seed: int) -> dict[str, float]:
    """The figures of a method for one draw of the shots."""
    training, held_out = (
        of_names(shifted_examples(SHIFT, collection, count), NAMES)
        for collection, count in ((TRAINING, ENOUGH), (MEASURED, scenes))
    )
    model = load(MODEL, device="cpu", lazy=True, **CROPS)

    def taught(examples: Sequence[Example]) -> Classes | None:
        if name == "text":
            return None
        if name in ALONE:
            return model.teach(examples, method=name)
        return model.tune(examples, method=name, seed=seed, descriptions=_descriptions(name, examples))

    began = time.process_time()
    few = taught(shots_of(training, SHOTS, seed))
    seconds = time.process_time() - began
    right, error = _measured(few, held_out, NAMES)
    classes = taught(shots_of(of_names(training, BASE), SHOTS, seed))
    base, new = (_measured(classes, of_names(held_out, some), some, own=some is BASE)[0] for some in (BASE, NEW))
    numbers = 0 if few is None else few.heads["regions"].facts.get("parameters", 0)
    figures = (right, error, base, new, harmonic_mean([base, new]), seconds, float(numbers))
    return dict(zip(HEAD[1:], figures, strict=True))


def _is_row(name: str, settings: Mapping[str, Any]) -> bool:
    """Whether a method tunes for classes that come at once, by examples of them; ``plain`` is what it is beside."""
    if name in of_orders():
        return False
    return "sessions" not in settings or settings["losses"] == [{"type": "cross-entropy"}]


def _descriptions(name: str, examples: Sequence[Example]) -> dict[str, tuple[str, ...]] | None:
    """Texts of the classes for a method that reads some, in the language of scenes."""
    entry = str(methods()[name]["settings"])
    if "descri" not in entry and "given" not in entry:
        return None
    return {label: class_descriptions(label) for label in sorted({example.name for example in examples})}


def _measured(
    classes: Classes | None, examples: Sequence[Example], names: Sequence[str], own: bool = True
) -> tuple[float, float]:
    """Accuracy and calibration error on held-out examples, in percent.

    Args:
        classes: what was taught; None for the names alone.
        examples: held out.
        names: that are told apart.
        own: whether these are the classes, or other names that the tuned encoder is given.
    """
    delta = None if classes is None else classes.delta
    with tempfile.TemporaryDirectory() as folder:
        changes: dict[str, Any] = dict(CROPS)
        if classes is not None and delta is not None and (delta.images or not own):
            changes["encoder.delta"] = str(Path(folder, "classes.safetensors"))
            classes.save(changes["encoder.delta"])
        model = load(MODEL, device="cpu", lazy=True, **changes)
        encoder: Any = model.embedder.encoder  # built while the file is there
    labels = [names.index(example.name) for example in examples]
    vectors = region_vectors(examples, labels, model.pipeline).vectors
    if classes is not None and own:
        logits = bound(classes, lambda _: encoder).head("regions")(vectors)
        order = [classes.names.index(name) for name in names]
        return _figures(logits[:, order], labels)
    return _figures(encoder.temperature * _cosines(encoder, names, vectors), labels)


def _cosines(encoder: Any, names: Sequence[str], vectors: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
    """Cosines with names, as the encoder was tuned."""
    texts = next((one for one in getattr(encoder, "tuned", ()) if isinstance(one, ClassTexts)), None)
    if texts is None:
        return vectors @ encoder.embed_texts(list(names)).mT
    if not texts.conditional:
        return vectors @ texts.class_vectors(names).mT
    parts = [torch.einsum("nd,nkd->nk", some, texts.class_vectors(names, Look(some))) for some in vectors.split(64)]
    return torch.cat(parts)


def _figures(logits: Float[Tensor, "n k"], labels: Sequence[int]) -> tuple[float, float]:
    """Accuracy and calibration error in percent."""
    best, answers = logits.double().softmax(1).max(1)
    right = (answers == torch.tensor(labels)).numpy()
    return 100 * float(right.mean()), 100 * reliability(best.numpy(), right).expected_error
