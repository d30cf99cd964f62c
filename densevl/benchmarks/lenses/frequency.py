"""How well classes are known against how often their concepts occur in the captions of a training.

Source: Udandarao et al., No "Zero-Shot" Without Exponential Data, NeurIPS 2024, https://arxiv.org/abs/2404.04125. The
figure of a class is the share of its regions that get its name, and the intersection over union of its pixels. For the
lines through them see :mod:`densevl.metrics.frequency`, for the counts
:mod:`densevl.tasks.annotation.concept_counts`. Where scenes are drawn, the captions are those of scenes that the mini
models were trained on, the first ones only.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from densevl.benchmarks.lenses.asked import Asked, Question, ask, question
from densevl.benchmarks.lenses.contracts import Finding, Plot, Table
from densevl.benchmarks.lenses.source import Source
from densevl.benchmarks.lenses.subject import Subject
from densevl.core.drawing.trend import draw_trend
from densevl.core.errors import UsageError, shortened
from densevl.core.files import parse_json
from densevl.core.vocabulary import Vocabulary, normalised
from densevl.datasets.captions import read_captions
from densevl.datasets.scenes.training import ScenePairs
from densevl.metrics.frequency import FrequencyScores, Line
from densevl.metrics.table import or_none
from densevl.tasks.annotation.concept_counts import count_concepts

__all__ = ["Frequency", "read_counts"]

TRAINING = {"size": 64, "zoom": (1.4, 2.6), "count": (1, 2), "seed": 0}
"""Scenes of the first part of the training of the mini CLIP, see ``configs/clip_train_scenes.py``."""

UNKNOWN = -1
"""Count of a class that a file of counts does not have."""


@dataclass(frozen=True, eq=False)
class Counted:
    """What is asked, and how often each class occurs.

    Attributes:
        question: images and classes.
        counts: of the classes of each head; :data:`UNKNOWN` where it is not known.
    """

    question: Question
    counts: Mapping[str, Int[np.ndarray, " k"]]


@dataclass(frozen=True)
class Frequency:
    """Figures of classes over the logarithm of their counts, of regions and of pixels.

    Args:
        counts: file of counts by name, as JSON, or of captions as ``densevl label-regions`` takes them; None for the
            captions of scenes.
        captions: number of training scenes whose captions are counted where scenes are drawn.
    """

    counts: str | None = None
    captions: int = 2000

    name = "frequency"
    title = "Known for being frequent?"

    def gather(self, subject: Subject, source: Source) -> Counted:
        """Labelled images or scenes, and the counts of their classes.

        Raises:
            UsageError: where nothing says how often concepts occur, or no class is counted.
        """
        if self.counts is None and source.file is not None:
            raise UsageError(
                "the lens 'frequency' needs to know how often concepts occur; give --set frequency.counts=FILE, a "
                "JSON of counts by name or a file of captions"
            )
        if self.captions < 1:
            raise UsageError(f"frequency.captions: at least one is counted; got {self.captions}")
        asked = question(self.name, subject, source)
        counts = {head: self._counted(vocabulary) for head, vocabulary in asked.vocabularies.items()}
        if not any((of_head > 0).any() for of_head in counts.values()):
            first = next(iter(asked.vocabularies.values()))
            raise UsageError(
                f"none of the classes {', '.join(first.names[:8])} occurs in {self.counts}; give its texts"
            )
        return Counted(asked, counts)

    def _counted(self, vocabulary: Vocabulary) -> Int[np.ndarray, " k"]:
        if self.counts is not None:
            return read_counts(Path(self.counts), vocabulary)
        pairs = ScenePairs(length=self.captions, **TRAINING)  # type: ignore[arg-type]
        captions = (pairs[index]["texts"].caption for index in range(len(pairs)))
        return np.array(count_concepts(captions, vocabulary))

    def examine(self, subject: Subject, data: Counted) -> Finding:
        """The lines through the classes and through the decades, by head."""
        values, lines, plots, tables = {}, [], [], []
        for head, counts in data.counts.items():
            asked = ask(subject, data.question, head)
            figures = _recalls(asked) if head == "regions" else _overlaps(asked)
            measured = np.where(counts == UNKNOWN, np.nan, figures)
            if not ((counts > 0) & ~np.isnan(measured)).any():
                lines.append(f"{head}: no class that was measured occurs, so that there is no line to fit")
                continue
            scores = FrequencyScores(counts.clip(min=0), measured)
            absent = int(((counts == UNKNOWN) & ~np.isnan(figures)).sum())
            values[head] = {
                **scores.as_dict(),
                "not_counted": absent,
                "each": [
                    {"name": name, "count": None if count == UNKNOWN else int(count), "figure": or_none(float(figure))}
                    for name, count, figure in zip(asked.names, counts, figures, strict=True)
                ],
            }
            lines += _said(head, scores, absent)
            plots.append(_plot(head, scores))
            tables.append(_decades(head, scores))
        return Finding(values, lines, plots, tables)


_NAMES = {"regions": "accuracy", "pixels": "IoU"}


def _said(head: str, scores: FrequencyScores, absent: int) -> list[str]:
    left = [
        f"{scores.never} that never occur, {scores.never_mean:.1f} % on average" if scores.never else "",
        f"{absent} without a count" if absent else "",
    ]
    said = "; ".join(part for part in left if part)
    return [
        f"{head}, {_NAMES[head]} over log10 of the count, class by class: {_line(scores.line)}",
        f"{head}, means of decades: {_line(scores.line_of_decades)}",
        *([f"{head}, left out: {said}"] if said else []),
    ]


def _line(line: Line) -> str:
    if line.slope != line.slope:
        return "no line, since all have one count"
    correlation = "no correlation" if line.pearson != line.pearson else f"Pearson {line.pearson:.2f}"
    return f"{correlation}, {round(line.slope, 1) + 0.0:+.1f} for ten times as many (of {line.points})"


def _plot(head: str, scores: FrequencyScores) -> Plot:
    line = scores.line
    pearson = "" if line.pearson != line.pearson else f", r = {line.pearson:.2f} by class"
    title = f"{head.capitalize()}: {_NAMES[head]} by frequency{pearson}"
    decades = [(one.power, one.mean, one.error) for one in scores.decades]
    image = draw_trend(
        scores.counts[scores.used],
        scores.values[scores.used],
        (line.slope, line.intercept),
        decades,
        title,
        f"{_NAMES[head]}, %",
    )
    return Plot(head, image, "Each class by its count; diamonds are the means of decades, with their standard errors.")


def _decades(head: str, scores: FrequencyScores) -> Table:
    rows: list[Sequence[str | int | float | None]] = [
        (f"{10**one.power} to {10 ** (one.power + 1) - 1}", one.classes, one.mean, or_none(one.error))
        for one in scores.decades
    ]
    if scores.never:
        rows.insert(0, ("0", scores.never, scores.never_mean, None))
    return Table(f"{head.capitalize()} by decade", ("count", "classes", _NAMES[head], "standard error"), rows)


def _recalls(asked: Asked) -> Float[np.ndarray, " k"]:
    """Share of the regions of each class that get its name, in percent; nan where there is none."""
    known = asked.labels >= 0
    labels, right = asked.labels[known], asked.right[known]
    totals, hits = (np.bincount(labels, one, len(asked.names)) for one in (None, right))
    with np.errstate(invalid="ignore"):
        return 100 * hits / totals


def _overlaps(asked: Asked) -> Float[np.ndarray, " k"]:
    """Intersection over union of each class that occurs, of what is labelled, in percent."""
    known, count = asked.labels >= 0, len(asked.names)
    places = asked.labels[known] * count + asked.logits[known].argmax(1)
    matrix = np.bincount(places, asked.weights[known], count * count).reshape(count, count)
    unions = matrix.sum(0) + matrix.sum(1) - matrix.diagonal()
    with np.errstate(invalid="ignore"):
        return np.where(matrix.sum(1) > 0, 100 * matrix.diagonal() / unions, np.nan)


def read_counts(path: Path, vocabulary: Vocabulary) -> Int[np.ndarray, " k"]:
    """How often each class occurs: by a JSON of counts, or in the captions of a file.

    Args:
        path: a JSON object of whole numbers by name, or a file of captions, see
            :func:`densevl.datasets.captions.read_captions`.
        vocabulary: of the classes; the counts of synonyms are added up.

    Returns:
        The counts; :data:`UNKNOWN` for a class that a JSON of counts does not name.

    Raises:
        UsageError: where the file cannot be read, holds no captions, or a count is none.
    """
    counts = _counts_of(path)
    if counts is None:
        return np.array(count_concepts(list(read_captions([path])), vocabulary))
    own = {normalised(name): count for name, count in counts.items()}
    found = np.full(len(vocabulary), UNKNOWN, np.int64)
    for query, owner in zip(vocabulary.queries, vocabulary.query_classes, strict=True):
        if normalised(query) in own:
            found[owner] = max(found[owner], 0) + own[normalised(query)]
    return found


def _counts_of(path: Path) -> Mapping[str, int] | None:
    """The counts of a file; None where it holds something else."""
    try:
        content = parse_json(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError):
        return None  # reading it as captions says what is wrong with it
    if not isinstance(content, dict) or "annotations" in content:
        return None
    for name, count in content.items():
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise UsageError(f"{path}: the count of {name!r} must be a whole number; got {shortened(repr(count))}")
    return content
