"""How well a model tells things that are none of its classes: regions and pixels, by several scores.

Sources: see :mod:`densevl.metrics.out_of_distribution`; the *distance* is that of :mod:`densevl.classifiers.unknown`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from densevl.benchmarks.lenses.asked import PIXELS, Asked, Question, ask, question
from densevl.benchmarks.lenses.contracts import Finding, Plot, Table
from densevl.benchmarks.lenses.source import Source
from densevl.benchmarks.lenses.subject import Subject
from densevl.core.drawing.chart import draw_chart
from densevl.core.errors import UsageError
from densevl.metrics.out_of_distribution import detection, doubts_of, shares_caught
from densevl.metrics.table import or_none

__all__ = ["OutOfDistribution"]

SETS: Mapping[str, Sequence[Mapping[str, bool]]] = {
    "new shapes": ({"new_shapes": True},),
    "new colours": ({}, {"new_colours": True}),
}
"""How scenes with strangers are drawn: each half of the scenes in its own way."""

ALARMS = np.linspace(0, 1, 21)
"""False alarms at which the curves are drawn."""


@dataclass(frozen=True)
class OutOfDistribution:
    """Strangers among known things, told by the largest probability, the entropy, the energy and the distance.

    Args:
        pixels: that are kept of all images together, at most.
    """

    pixels: int = PIXELS

    name = "ood"
    title = "What is none of the classes"

    def gather(self, subject: Subject, source: Source) -> dict[str, Question]:
        """Sets of labelled images with known things and strangers.

        Raises:
            UsageError: where there are no strangers.
        """
        if source.file is None:
            return {name: self._drawn(subject, source, ways) for name, ways in SETS.items()}
        asked = question(self.name, subject, source)
        for vocabulary in asked.vocabularies.values():
            names = sorted({name for image in asked.images for name in image.names})
            if not (subject.labels(vocabulary, names) < 0).any():
                raise UsageError(
                    f"the lens {self.name!r} needs strangers, and all names of {source} are classes; say which shall "
                    f"be none of them, such as --unknown-names {names[0]!r}"
                )
        return {"strangers": asked}

    def examine(self, subject: Subject, data: dict[str, Question]) -> Finding:
        """Figures of each score, head and set."""
        values: dict[str, dict[str, object]] = {}
        lines, plots, rows = [], [], []
        for kind, asked in data.items():
            for head in asked.vocabularies:
                found = ask(subject, asked, head, self.pixels, doubts=True)
                known = found.labels >= 0
                if known.all() or not known.any():
                    lines.append(f"{head}, {kind}: {'no stranger' if known.all() else 'nothing known'} among them")
                    continue
                figures, curves = _figures(found)
                values.setdefault(kind, {})[head] = {
                    "known": int(known.sum()),
                    "unknown": int((~known).sum()),
                    "share_unknown": float(np.average(~known, weights=found.weights)),
                    "scores": {
                        score: {name: or_none(value) for name, value in one.items()} for score, one in figures.items()
                    },
                }
                best = max(figures, key=lambda score: figures[score]["auroc"])
                said = ", ".join(f"{score} {one['auroc']:.3f}" for score, one in figures.items())
                lines.append(
                    f"{head}, {kind}: {int((~known).sum())} of {len(known)} are strangers; AUROC by {said}; by {best} "
                    f"AUPR {figures[best]['aupr']:.3f}, FPR95 {figures[best]['fpr95']:.3f}"
                )
                title = f"{head}, {kind}"
                plot = draw_chart(curves, title, "share of known things called unknown", "share of strangers caught")
                plots.append(
                    Plot(f"{head}-{kind.replace(' ', '-')}", plot, f"{title}: the higher a curve, the better.")
                )
                rows += [(kind, head, score, one["auroc"], one["aupr"], one["fpr95"]) for score, one in figures.items()]
        columns = ("strangers", "asked", "score", "AUROC", "AUPR", "FPR95")
        return Finding(values, lines, plots, [Table("Strangers told apart", columns, rows)])

    def _drawn(self, subject: Subject, source: Source, ways: Sequence[Mapping[str, bool]]) -> Question:
        """Scenes, each half drawn in one of the ways."""
        count = max(1, source.scenes // len(ways))
        first = question(self.name, subject, source, count=count, **ways[0])
        others = [
            image
            for index, way in enumerate(ways[1:], 1)
            for image in source.labelled(self.name, count=count, offset=index * count, **way)
        ]
        return Question([*first.images, *others], first.vocabularies)


def _figures(found: Asked) -> tuple[dict[str, Mapping[str, float]], dict[str, list[tuple[float, float]]]]:
    """Figures and curve of each score."""
    known = found.labels >= 0
    scores = {**doubts_of(found.logits), **found.doubts}
    if found.head == "pixels" and "energy" not in found.doubts:
        del scores["energy"]  # that of probabilities is 0 everywhere
    figures, curves = {}, {}
    for name, doubts in scores.items():
        given = doubts[known], doubts[~known]
        weights = found.weights[known], found.weights[~known]
        figures[name] = detection(*given, *weights)
        curves[name] = list(zip(ALARMS.tolist(), shares_caught(*given, ALARMS, *weights).tolist(), strict=True))
    return figures, curves
