"""How far the confidence of a model can be believed, as it is and after temperature scaling.

Sources: Naeini et al., AAAI 2015 (ECE, MCE); Guo et al., On Calibration of Modern Neural Networks, ICML 2017
(temperature scaling). The temperature is fitted on every second image and judged on the others, as everything here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from densevl.benchmarks.lenses.asked import PIXELS, Asked, Question, ask, question
from densevl.benchmarks.lenses.contracts import Finding, Plot, Table
from densevl.benchmarks.lenses.source import Source
from densevl.benchmarks.lenses.subject import Subject
from densevl.core.drawing.reliability import draw_reliability
from densevl.core.errors import UsageError
from densevl.metrics.calibration import BINS, CalibrationFigures, calibration_figures, fit_temperature
from densevl.metrics.table import or_none

__all__ = ["Calibration"]


@dataclass(frozen=True)
class Calibration:
    """Reliability of regions and of pixels.

    Args:
        bins: of confidence.
        pixels: that are kept of all images together, at most.
    """

    bins: int = BINS
    pixels: int = PIXELS

    name = "calibration"
    title = "How far it can be believed"

    def gather(self, subject: Subject, source: Source) -> Question:
        """Labelled images, two at least.

        Raises:
            UsageError: where there are fewer, or nothing is of a class.
        """
        asked = question(self.name, subject, source)
        if len(asked.images) < 2:
            raise UsageError(
                f"the lens {self.name!r} fits on half of the images and needs two; got {len(asked.images)}"
            )
        return asked

    def examine(self, subject: Subject, data: Question) -> Finding:
        """Figures, before and after scaling, of each head."""
        values, lines, plots, tables = {}, [], [], []
        for head in data.vocabularies:
            found = ask(subject, data, head, self.pixels)
            found = found.chosen(found.labels >= 0)
            fitted, judged = found.chosen(found.images % 2 == 0), found.chosen(found.images % 2 == 1)
            if not len(fitted.labels) or not len(judged.labels):
                lines.append(f"{head}: too few are of a class to say anything")
                continue
            temperature = fit_temperature(fitted.logits, fitted.labels, fitted.weights)
            before = self._figures(judged, 1.0)
            after = self._figures(judged, temperature)
            values[head] = _values(judged, temperature, before, after)
            lines.append(
                f"{head}: {before.accuracy:.1%} of {len(judged.labels)} right, {before.confidence:.1%} sure: "
                f"{before}; at temperature {temperature:.2f} {after}"
            )
            for kind, one in (("", before), ("-scaled", after)):
                said = "as it is" if not kind else f"temperature {temperature:.2f}, fitted on other images"
                plots.append(Plot(f"{head}{kind}", _drawn(head, one), f"{head.capitalize()}, {said}."))
            tables.append(_table(head, judged, before))
        return Finding(values, lines, plots, tables)

    def _figures(self, asked: Asked, temperature: float) -> CalibrationFigures:
        return calibration_figures(asked.logits / temperature, asked.labels, self.bins, asked.weights)


def _values(
    asked: Asked, temperature: float, before: CalibrationFigures, after: CalibrationFigures
) -> Mapping[str, Any]:
    return {
        "judged": len(asked.labels),
        "temperature": temperature,
        "before": before.as_dict(asked.names),
        "after": after.as_dict(asked.names),
    }


def _drawn(head: str, figures: CalibrationFigures) -> Any:
    found = figures.reliability
    title = f"{head}: ECE {figures.expected_error:.3f}, MCE {figures.maximum_error:.3f}"
    return draw_reliability(found.confidences, found.accuracies, found.weights, title)


def _table(head: str, asked: Asked, figures: CalibrationFigures) -> Table:
    """The classes with the largest errors of their answers first."""
    order = np.argsort(-np.nan_to_num(figures.of_answers, nan=-1.0), kind="stable")
    counts = np.bincount(asked.logits.argmax(1), minlength=len(asked.names))
    rows = [
        (asked.names[k], int(counts[k]), or_none(float(figures.of_answers[k])), or_none(float(figures.of_classes[k])))
        for k in order
        if counts[k]
    ]
    return Table(
        f"{head.capitalize()} by class", ("class", "answers", "ECE of its answers", "ECE of its probability"), rows
    )
