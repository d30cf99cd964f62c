"""What noise, blur, weather and compression do to a model, by their severity."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from densevl.benchmarks.lenses.asked import PIXELS, Question, ask, question
from densevl.benchmarks.lenses.contracts import Finding, Plot, Table
from densevl.benchmarks.lenses.source import Source
from densevl.benchmarks.lenses.subject import Subject
from densevl.core.drawing.chart import draw_chart
from densevl.core.errors import UsageError
from densevl.datasets.corruptions import GROUPS, SEVERITIES, chosen_corruptions, corrupt, corruptions_here
from densevl.metrics.corruptions import Robustness, robustness

__all__ = ["Corruptions"]

FIGURES = {"regions": "accuracy", "pixels": "mIoU"}
"""The score of each head."""

Scores = dict[str, list[float]]


@dataclass(frozen=True)
class Corruptions:
    """Accuracy of regions and mIoU of pixels under corruptions of the images; masks and boxes stay the truth.

    Args:
        kinds: corruptions, groups of them, or ``all``; see :data:`densevl.datasets.corruptions.GROUPS`.
        severities: of 1 to 5.
        images: that are corrupted, at most: the first ones.
        pixels: that are kept of all images together, at most.

    Raises:
        UsageError: where a corruption or a severity is unknown, or the package that makes them is not installed.
    """

    kinds: Sequence[str] = ("all",)
    severities: Sequence[int] = SEVERITIES
    images: int = 20
    pixels: int = PIXELS

    name = "corruptions"
    title = "What noise, blur, weather and compression do"

    def __post_init__(self) -> None:
        kinds = (self.kinds,) if isinstance(self.kinds, str) else self.kinds
        severities = (self.severities,) if isinstance(self.severities, int) else self.severities
        object.__setattr__(self, "kinds", chosen_corruptions(list(kinds)))
        wrong = next((one for one in severities if one not in SEVERITIES), None)
        if wrong is not None or not severities or self.images < 1:
            raise UsageError(
                f"the lens {self.name!r} takes severities of 1 to 5 and one image or more; got {list(severities)} and "
                f"{self.images}"
            )
        object.__setattr__(self, "severities", tuple(sorted(set(severities))))
        corruptions_here()

    def gather(self, subject: Subject, source: Source) -> Question:
        """The first of the labelled images."""
        asked = question(self.name, subject, source)
        return Question(asked.images[: self.images], asked.vocabularies)

    def examine(self, subject: Subject, data: Question) -> Finding:
        """Curves and figures of each head."""
        values: dict[str, Any] = {"images": len(data.images), "severities": list(self.severities)}
        lines, plots, tables = [], [], []
        for head in data.vocabularies:
            clean, scores = self._scores(subject, data, head)
            found = robustness(clean, np.array(list(scores.values())))
            values[head] = _values(FIGURES[head], scores, found)
            lines += _lines(head, found, len(data.images))
            plots += self._plots(head, clean, scores)
            rows: list[tuple[str | float, ...]] = [
                (kind, *one, mean) for (kind, one), mean in zip(scores.items(), found.of_kinds.tolist(), strict=True)
            ]
            columns = ("corruption", *map(str, self.severities), "mean")
            tables.append(Table(f"{FIGURES[head]} of {head} by severity; clean {clean:.3f}", columns, rows))
        return Finding(values, lines, plots, tables)

    def _scores(self, subject: Subject, data: Question, head: str) -> tuple[float, Scores]:
        def score(**given: Any) -> float:
            found = ask(subject, data, head, self.pixels, **given)
            return found.accuracy if head == "regions" else found.mean_iou

        scores: Scores = {kind: [] for kind in self.kinds}
        pairs = [(kind, severity) for kind in self.kinds for severity in self.severities]
        for kind, severity in tqdm(pairs, desc=f"corrupted {head}", delay=2, disable=None):
            scores[kind].append(score(change=partial(_spoilt, kind, severity)))
        return score(), scores

    def _plots(self, head: str, clean: float, scores: Scores) -> list[Plot]:
        """A curve of each group and their mean, and one of each corruption."""
        names: dict[int | float, str] = {0: "clean", **{one: str(one) for one in self.severities}}

        def chart(series: dict[str, np.ndarray], what: str) -> UInt8[np.ndarray, "H W 3"]:
            points = {
                name: [(0, 100 * clean), *zip(self.severities, (100 * line).tolist(), strict=True)]
                for name, line in series.items()
            }
            return draw_chart(points, f"{head}: {what}", "severity", f"{FIGURES[head]} in %", names)

        every = {kind: np.array(one) for kind, one in scores.items()}
        groups = {group: [every[kind] for kind in kinds if kind in every] for group, kinds in GROUPS.items()}
        means = {group: np.mean(lines, 0) for group, lines in groups.items() if lines}
        shown = {"mean": np.mean(list(every.values()), 0), **means}
        said = f"{head.capitalize()}: mean of each kind of corruption, and of all; clean images first."
        plots = [Plot(f"{head}-groups", chart(shown, "kinds of corruptions"), said)]
        if len(every) > 1:
            plots.append(
                Plot(f"{head}-kinds", chart(every, "each corruption"), f"{head.capitalize()}: each corruption.")
            )
        return plots


def _spoilt(kind: str, severity: int, image: UInt8[np.ndarray, "H W 3"], number: int) -> UInt8[np.ndarray, "H W 3"]:
    return corrupt(image, kind, severity, number)


def _values(figure: str, scores: Scores, found: Robustness) -> dict[str, Any]:
    return {
        "figure": figure,
        "clean": found.clean,
        "scores": scores,
        "curve": found.curve.tolist(),
        "mean": found.mean,
        "mce": found.error,
        "relative_mce": found.relative_error,
        "kept": None if np.isnan(found.kept) else found.kept,
        "monotone_on_average": found.monotone,
        "steps_that_do_not_rise": found.falling,
    }


def _lines(head: str, found: Robustness, images: int) -> list[str]:
    curve = " ".join(f"{100 * value:.1f}" for value in found.curve)
    how = "never rises with severity on average" if found.monotone else "rises somewhere on average"
    kept = "" if np.isnan(found.kept) else f", {found.kept:.1%} of it kept"
    return [
        f"{head}: {FIGURES[head]} {found.clean:.1%} of {images} clean images, {found.mean:.1%} corrupted{kept} "
        f"(mCE {found.error:.3f}, relative mCE {found.relative_error:.3f})",
        f"  by severity {curve}: it {how}; {found.falling:.0%} of all single steps do not rise",
    ]
