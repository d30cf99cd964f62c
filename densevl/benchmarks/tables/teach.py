"""Classes taught by a few regions of shifted scenes: what examples are worth beside the words, and what stays unknown.

Shots are drawn by seed from the objects of training scenes, nested, so that four hold the two and the one; all methods
see the same. Held-out scenes decide nothing. Regions are true masks, and all pairs of colour and shape are asked for at
once. The texts are those of ``mini``, which was trained on clean scenes of 56 of the 64 pairs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import nan
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm import tqdm

from densevl.api.loading import load
from densevl.api.model import Model
from densevl.benchmarks.tables.shifted_regions import ShiftedRegions, shifted_regions
from densevl.classifiers.conformal import class_limits, conformal_sets, limit
from densevl.classifiers.contracts import Classifier, Examples, LinearClassifier
from densevl.classifiers.evidence import SHARE
from densevl.classifiers.gaussian import gaussian_weights
from densevl.classifiers.left_out import left_out_doubts
from densevl.classifiers.sums import Sums
from densevl.classifiers.text import TextClassifier
from densevl.classifiers.unknown import Known
from densevl.core.features import TextEmbeddings
from densevl.core.vocabulary import Vocabulary
from densevl.datasets.scenes import HELD_OUT
from densevl.datasets.scenes.shifts import SHIFTS
from densevl.metrics.calibration import reliability
from densevl.metrics.out_of_distribution import auroc, false_positive_rate
from densevl.metrics.table import Spread, Table
from densevl.tasks.teaching.fitting import fit_head

__all__ = ["METHODS", "Shift", "draw_shots", "measured_on", "teach_table"]

SHOTS, SEEDS = (1, 2, 4, 8, 16), (0, 1, 2)
TRAINING, HELD_OUT_SCENES = 300, 301
"""Collections of scenes: what shots are drawn from, and what is measured."""

ENOUGH = {"new colours": 350}
"""Training scenes that hold 16 examples of each class, where not 700."""

TEMPERATURE, COVERAGE, ECE_SHOTS, MOST = 100.0, 0.9, 8, SHOTS[-1]

Logits = Float[Tensor, "n k"]
Fit = Callable[[TextEmbeddings, Examples], Classifier | None]


@dataclass(frozen=True, eq=False)
class Shift:
    """Training and held-out objects of scenes of one shift.

    Attributes:
        training: what shots are drawn from.
        held_out: what is measured.
        texts: of all classes.
    """

    training: ShiftedRegions
    held_out: ShiftedRegions
    texts: TextEmbeddings

    @classmethod
    def of(cls, model: Model, shift: str, scenes: int) -> "Shift":
        """The objects of a shift, as a model sees them.

        Args:
            model: its region embedder makes the vectors.
            shift: one of :data:`densevl.datasets.scenes.shifts.SHIFTS`.
            scenes: number of held-out scenes.
        """
        held_out = shifted_regions(model, shift, HELD_OUT_SCENES, scenes)
        training = shifted_regions(model, shift, TRAINING, ENOUGH.get(shift, 700))
        return cls(training, held_out, _texts(model, held_out.names))

    def shots(self, count: int, seed: int) -> Examples:
        """Examples of each class, drawn by seed; those of a smaller count are among them."""
        chosen = draw_shots(self.training.labels, count, seed)
        vectors, labels = self.training.vectors[chosen], self.training.labels[chosen]
        return Examples(vectors, labels, self.texts.model_id, groups=self.training.scenes[chosen])

    def only(self, kept: Sequence[int]) -> "Shift":
        """Training objects and texts of some classes alone; what is measured stays."""
        numbers = torch.full((len(self.texts.vocabulary),), -1)
        numbers[list(kept)] = torch.arange(len(kept))
        chosen = numbers[self.training.labels] >= 0
        own, names = self.training, [self.training.names[index] for index in kept]
        training = ShiftedRegions(own.vectors[chosen], numbers[own.labels[chosen]], own.scenes[chosen], names)
        vocabulary = Vocabulary.of([[name] for name in names])
        vectors = self.texts.vectors[list(kept)]
        texts = TextEmbeddings(vectors, torch.arange(len(kept)), vocabulary, self.texts.model_id, "none")
        held_out = ShiftedRegions(
            self.held_out.vectors, numbers[self.held_out.labels], self.held_out.scenes, self.held_out.names
        )
        return Shift(training, held_out, texts)


def _published(texts: TextEmbeddings, examples: Examples) -> Classifier | None:
    """The analysis alone; None where one example a class leaves it without a covariance."""
    classes = len(texts.vocabulary)
    if len(examples.labels) <= classes:
        return None
    weight, bias = gaussian_weights(examples.vectors, examples.labels, classes)
    return LinearClassifier(weight, bias, texts.vocabulary, texts.model_id)


def _stacked(texts: TextEmbeddings, examples: Examples) -> Classifier | None:
    """The analysis and the texts, each with a weight; None where the analysis has no covariance."""
    return None if len(examples.labels) <= len(texts.vocabulary) else _taught("gda-stacked", texts, examples)


def _taught(method: Any, texts: TextEmbeddings, examples: Examples) -> Classifier:
    """A method of the package as ``densevl teach`` fits it, calibrated by held-out examples."""
    return fit_head(method, texts, examples, TEMPERATURE)[0].classifier


METHODS: Mapping[str, Fit] = {
    "GDA as published, alone": _published,
    "GDA and text, weights out of fold": _stacked,
    "GDA, text as a prior, κ = 4": partial(_taught, "gda-prior"),
    "GDA, text as a prior, κ out of fold": partial(_taught, {"type": "gda-prior", "kappa": None}),
}
"""The rows below that of the text, by their names."""

UNKNOWN: Mapping[str, Any] = {
    "GDA and text": "gda-stacked",
    "GDA, text as a prior": "gda-prior",
    "linear probe": "linear-probe",
    "COOkeD": "cooked",
}
"""Methods that are asked which regions they do not know."""


def teach_table(scenes: int) -> Table:
    """Measure the tables.

    Args:
        scenes: number of held-out scenes.
    """
    model = load("mini", device="cpu", lazy=True)
    shifts = {name: Shift.of(model, name, scenes) for name in SHIFTS}
    rows: list[tuple[str, Sequence[float | Spread]]] = []
    for name, shift in tqdm(shifts.items(), desc="shifts", disable=None):
        text = measured_on(TextClassifier(shift.texts, TEMPERATURE), shift)
        rows.append((f"{name}: text", [*[text[0]] * len(SHOTS), text[1]]))
        rows += [(f"{name}: {method}", _figures(fit, shift)) for method, fit in METHODS.items()]
    head = ("accuracy", *(f"{count} shot{'s' * (count > 1)}" for count in SHOTS), f"ECE at {ECE_SHOTS}")
    tables = (_unknown_table(shifts["clean"]), _conformal_table(shifts))
    return Table(head, rows, _note(shifts), tables)


def draw_shots(labels: Int[Tensor, " n"], count: int, seed: int) -> Int[Tensor, " m"]:
    """Rows of so many examples of each class, in the order of chance that the seed gives.

    Args:
        labels: class of each example.
        count: of each class; a class that has fewer gives all.
        seed: of the order.
    """
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    ordered = labels[order]
    return torch.cat([order[ordered == label][:count] for label in labels.unique().tolist()])


def _texts(model: Model, names: Sequence[str]) -> TextEmbeddings:
    vectors = model.embed_texts(list(names))
    vocabulary = Vocabulary.of([[name] for name in names])
    return TextEmbeddings(vectors.vectors, torch.arange(len(names)), vocabulary, vectors.model_id, "none")


def measured_on(classifier: Classifier, shift: Shift) -> tuple[float, float]:
    """Accuracy and calibration error on the held-out objects, in percent."""
    best, answers = classifier(shift.held_out.vectors).double().softmax(1).max(1)
    right = (answers == shift.held_out.labels).numpy()
    return 100 * float(right.mean()), 100 * reliability(best.numpy(), right).expected_error


def _figures(fit: Fit, shift: Shift) -> list[float | Spread]:
    """Accuracy by shots, and the calibration error."""
    figures: list[float | Spread] = []
    error: float | Spread = nan
    for count in SHOTS:
        fitted = [fit(shift.texts, shift.shots(count, seed)) for seed in SEEDS]
        measured = [measured_on(one, shift) for one in fitted if one is not None]
        figures.append(Spread([right for right, _ in measured]) if measured else nan)
        if count == ECE_SHOTS and measured:
            error = Spread([wrong for _, wrong in measured])
    return [*figures, error]


def _unknown_table(clean: Shift) -> Table:
    """Regions of pairs that were neither taught nor ever seen, told from those of taught pairs by the entropy."""
    never = {f"{colour} {shape}" for colour, shape in HELD_OUT}
    names = clean.training.names
    shift = clean.only([index for index, name in enumerate(names) if name not in never])
    known = shift.held_out.labels >= 0
    rows: list[tuple[str, Sequence[float | Spread]]] = []
    matching = TextClassifier(shift.texts, TEMPERATURE)
    rows.append(("text", [Spread([value]) for value in _told(matching, shift)]))
    for name, method in UNKNOWN.items():
        fitted = [_taught(method, shift.texts, shift.shots(MOST, seed)) for seed in SEEDS]
        told = [_told(one, shift) for one in fitted]
        rows.append((name, [Spread(values) for values in zip(*told, strict=True)]))
    doubted = [_doubted(shift, seed) for seed in SEEDS]
    rows.append(("distance from what was shown", [*map(Spread, zip(*(one[:2] for one in doubted), strict=True)), nan]))
    alarms, caught = (Spread(values) for values in zip(*(one[2:] for one in doubted), strict=True))
    note = (
        f"Of {len(known)} clean held-out objects {int((~known).sum())} are of the 8 pairs that the model never saw and "
        f"was not taught; {MOST} shots of the others; FPR95 is the part of the unknown that passes where 95 % of "
        f"the known do; ECE of the known. The distance is that of `--unknown`, which at {SHARE:g} calls "
        f"{alarms:.1f} % of the known and {caught:.1f} % of the unknown so."
    )
    return Table(("unknown by entropy, or by distance", "AUROC", "FPR95", "ECE"), rows, note)


def _told(classifier: Classifier, shift: Shift) -> tuple[float, float, float]:
    """AUROC, FPR95 and the calibration error of the known, in percent."""
    known = shift.held_out.labels >= 0
    probabilities = classifier(shift.held_out.vectors).double().softmax(1)
    entropy = torch.special.entr(probabilities).sum(1)
    sure, strange = entropy[known].numpy(), entropy[~known].numpy()
    best, answers = probabilities[known].max(1)
    right = (answers == shift.held_out.labels[known]).numpy()
    error = reliability(best.numpy(), right).expected_error
    return 100 * auroc(sure, strange), 100 * false_positive_rate(sure, strange), 100 * error


def _doubted(shift: Shift, seed: int) -> tuple[float, float, float, float]:
    """AUROC and FPR95 of the distance, and how many of the known and of the unknown it calls unknown, in percent."""
    examples, classes = shift.shots(MOST, seed), len(shift.texts.vocabulary)
    assert examples.groups is not None
    sums = Sums.of(examples.vectors, examples.labels, classes)
    held = left_out_doubts(sums, examples.vectors, examples.labels, examples.groups)
    doubts = Known.of(sums).doubts(shift.held_out.vectors.double())
    known, beyond = shift.held_out.labels >= 0, doubts > limit(held[held.isfinite()], 1 - SHARE)
    sure, strange = doubts[known].numpy(), doubts[~known].numpy()
    alarms, caught = (100 * float(beyond[some].double().mean()) for some in (known, ~known))
    return 100 * auroc(sure, strange), 100 * false_positive_rate(sure, strange), alarms, caught


def _conformal_table(shifts: Mapping[str, Shift]) -> Table:
    """How often conformal sets hold the true class, and how many classes they hold."""
    rows: list[tuple[str, Sequence[float | Spread]]] = []
    for name, shift in shifts.items():
        figures = [_sets(shift, seed) for seed in SEEDS]
        rows.append((name, [Spread(values) for values in zip(*figures, strict=True)]))
    head = (f"sets that hold {100 * COVERAGE:.0f} %", "coverage", "classes", "coverage, by class", "classes, by class")
    note = (
        f"GDA with the text as a prior, {MOST} shots; limits by held-out examples, one for all or one for each class."
    )
    return Table(head, rows, note)


def _sets(shift: Shift, seed: int) -> list[float]:
    """Coverage in percent and mean size of the sets, with one limit and with one for each class."""
    head, held = fit_head("gda-prior", shift.texts, shift.shots(MOST, seed), TEMPERATURE)
    if held is None:
        raise RuntimeError("16 shots leave examples to hold out")
    scores = 1 - held.probabilities.gather(1, held.labels[:, None])[:, 0]
    probabilities = head.classifier(shift.held_out.vectors).softmax(1)
    figures = []
    for limits in (limit(scores, COVERAGE), class_limits(scores, held.labels, probabilities.shape[1], COVERAGE)):
        sets = conformal_sets(probabilities, limits)
        covered = sets.gather(1, shift.held_out.labels[:, None]).double().mean()
        figures += [100 * float(covered), float(sets.sum(1).double().mean())]
    return figures


def _note(shifts: Mapping[str, Shift]) -> str:
    sizes = {name: len(shift.held_out.labels) for name, shift in shifts.items()}
    fewest = min(int(torch.bincount(shift.training.labels).min()) for shift in shifts.values())
    return (
        f"True masks of {sizes['clean']} objects of held-out scenes, {sizes['new colours']} in new colours; "
        f"{len(shifts['clean'].texts.vocabulary)} and {len(shifts['new colours'].texts.vocabulary)} classes; "
        f"{shifts['clean'].texts.model_id}; mean ± standard deviation of seeds {', '.join(map(str, SEEDS))}; at least "
        f"{fewest} examples of each class to draw from."
    )
