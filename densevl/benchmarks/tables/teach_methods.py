"""Every method of teaching beside every other: few regions of scenes, and regions of another kind than those taught.

Shots, scenes and texts are those of the table ``teach``. Each method chooses its settings within the shots; captions,
which one of them takes, name the object. The last columns teach on clean scenes and measure on shifted ones.
"""

from collections.abc import Mapping, Sequence
from math import isnan

from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from densevl.api.loading import load
from densevl.api.model import Model
from densevl.benchmarks.tables.teach import SEEDS, TEMPERATURE, Shift, measured_on
from densevl.classifiers import CLASSIFIERS
from densevl.classifiers.contracts import Classifier, ClassifierMethod
from densevl.classifiers.text import TextClassifier
from densevl.core.errors import UsageError
from densevl.core.registry import build
from densevl.metrics.table import Spread, Table

__all__ = ["methods_table"]

METHODS = (
    "gda", "gda-stacked", "gda-prior", "tip-adapter", "tip-adapter-f", "tip-x", "caps-adapter",
    "linear-probe", "nmtune", "nearest", "neighbours", "cooked",
)  # fmt: skip
"""The rows below that of the text, by their registered names."""

FEW, MORE, OTHERS = 1, 8, ("blur", "noise")
"""Shots of the columns; shifts that are measured after teaching on clean scenes."""

NAN = float("nan")


def methods_table(scenes: int) -> Table:
    """Measure the table.

    Args:
        scenes: number of held-out scenes.
    """
    model = load("mini", device="cpu", lazy=True)
    shifts = {name: Shift.of(model, name, scenes) for name in ("clean", "new colours", *OTHERS)}
    captions = {name: _captions(model, shift) for name, shift in shifts.items()}
    text = {name: measured_on(TextClassifier(shift.texts, TEMPERATURE), shift) for name, shift in shifts.items()}
    first = [text["new colours"][0], *text["new colours"], *text["noise"], *(text[other][0] for other in OTHERS)]
    rows: list[tuple[str, Sequence[float | Spread]]] = [("text", first)]
    for name in tqdm(METHODS, desc="methods", disable=None):
        figures = [_row(name, shifts, captions, seed) for seed in SEEDS]
        rows.append((name, [NAN if isnan(values[0]) else Spread(values) for values in zip(*figures, strict=True)]))
    head = (
        "accuracy", f"new colours, {FEW} shot", f"new colours, {MORE} shots", "ECE", f"noise, {MORE} shots", "ECE",
        *(f"clean, {MORE} shots, on {other}" for other in OTHERS),
    )  # fmt: skip
    note = f"{scenes} held-out scenes a shift, regions by true masks; mean of {len(SEEDS)} draws of the shots."
    return Table(head, rows, note)


def _row(name: str, shifts: Mapping[str, Shift], captions: Mapping[str, Tensor], seed: int) -> list[float]:
    """The figures of a method for one draw of the shots; nan where it cannot learn from so few."""

    def taught(shift: str, count: int) -> Classifier | None:
        texts, shots = shifts[shift].texts, shifts[shift].shots(count, seed)
        try:
            method: ClassifierMethod = build(CLASSIFIERS, name)
            return method.fit(texts, shots._replace(captions=captions[shift][shots.labels]), TEMPERATURE)
        except UsageError:
            return None

    few, more, noise, clean = (
        taught(shift, count)
        for shift, count in (("new colours", FEW), ("new colours", MORE), ("noise", MORE), ("clean", MORE))
    )

    def measured(classifier: Classifier | None, shift: str) -> tuple[float, float]:
        return (NAN, NAN) if classifier is None else measured_on(classifier, shifts[shift])

    own = [measured(few, "new colours")[0], *measured(more, "new colours"), *measured(noise, "noise")]
    return [*own, *(measured(clean, other)[0] for other in OTHERS)]


def _captions(model: Model, shift: Shift) -> Float[Tensor, "k d"]:
    """A caption of each class of a shift, embedded."""
    return model.embed_texts([f"a photo of a {name}" for name in shift.held_out.names]).vectors
