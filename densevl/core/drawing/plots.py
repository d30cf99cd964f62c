"""Plots for pages, as SVG that follows the colours of the page: a reliability diagram, two histograms, a matrix.

Every mark has its figures as a title, which browsers show under the pointer and read aloud. Texts are escaped.
"""

from collections.abc import Sequence
from html import escape

import numpy as np
from jaxtyping import Float

__all__ = ["confusion_plot", "histogram_plot", "reliability_plot"]

Number = int | float

WIDTH, HEIGHT = 360, 300
"""Size of a plot in its own units; it is scaled to its place."""

LEFT, RIGHT, TOP, BOTTOM = 44, 12, 12, 40
"""Room beside the plotted area: for the axes and their names."""

ACROSS, DOWN = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

WIDEST, CELL = 300, (16, 46)
"""Width of a matrix, where its cells can be so wide; least and greatest side of a cell."""

LETTER = 7.2
"""Width of a letter of a name, at most."""


def reliability_plot(
    confidences: Float[np.ndarray, " b"], accuracies: Float[np.ndarray, " b"], weights: Float[np.ndarray, " b"]
) -> str:
    """Accuracy by confidence, beside the diagonal on which both are the same.

    A bar is as wide as its bin and as high as its accuracy; what lacks to the diagonal, or is beyond it, is tinted.
    The row of bars at the foot says how many answers are in each bin.

    Args:
        confidences: mean of each bin; nan where it is empty.
        accuracies: of each bin.
        weights: of each bin.
    """
    bins, total = len(weights), max(float(weights.sum()), 1e-9)
    step, marks = ACROSS / bins, []
    for index, (confidence, accuracy, weight) in enumerate(zip(confidences, accuracies, weights, strict=True)):
        if not weight:
            continue
        x, low, high = LEFT + index * step, min(confidence, accuracy), max(confidence, accuracy)
        share = 100 * weight / total
        said = f"{100 * confidence:.0f} % sure, {100 * accuracy:.0f} % right, {share:.0f} % of the answers"
        kind = "over" if confidence > accuracy else "under"
        marks.append(
            f"<g><title>{said}</title>{_bar(x + 1, step - 2, 0, accuracy, 'bar')}"
            f"{_bar(x + 1, step - 2, low, high, f'gap {kind}')}"
            f'<rect class="count" x="{x + 1:.1f}" y="{_y(0) - 14 * weight / weights.max():.1f}" width="{step - 2:.1f}" '
            f'height="{14 * weight / weights.max():.1f}"/></g>'
        )
    diagonal = f'<line class="even" x1="{LEFT}" y1="{_y(0)}" x2="{LEFT + ACROSS}" y2="{_y(1)}"/>'
    return _framed("Reliability diagram", "confidence", "right", "".join(marks) + diagonal)


def histogram_plot(
    known: Float[np.ndarray, " n"], unknown: Float[np.ndarray, " m"], limit: Number | None = None, bins: int = 24
) -> str:
    """Fractions of the known and of the unknown by how doubtful they look.

    Args:
        known: doubts in [0, 1].
        unknown: doubts in [0, 1].
        limit: doubt beyond which something counts as unknown; None for none.
        bins: number of bins.
    """
    edges = np.linspace(0, 1, bins + 1)
    shares = [np.histogram(values.clip(0, 1), edges)[0] / max(len(values), 1) for values in (known, unknown)]
    highest, marks, step = max(float(np.max(shares)), 1e-9), [], ACROSS / bins
    for kind, share in zip(("known", "unknown"), shares, strict=True):
        for index, value in enumerate(share):
            if value:
                bar = _bar(LEFT + index * step + 0.5, step - 1, 0, value / highest, kind)
                said = f"{100 * value:.1f} % of the {kind} at {edges[index]:.2f} to {edges[index + 1]:.2f}"
                marks.append(f"<g><title>{said}</title>{bar}</g>")
    if limit is not None and 0 <= limit <= 1:
        x = LEFT + limit * ACROSS
        marks.append(
            f'<g><title>counts as unknown beyond {limit:.3f}</title><line class="limit" x1="{x:.1f}" y1="{_y(0)}" '
            f'x2="{x:.1f}" y2="{_y(1)}"/></g>'
        )
    return _framed("Doubts of the known and the unknown", "doubt", "share", "".join(marks), highest)


def confusion_plot(matrix: Float[np.ndarray, "k k"], names: Sequence[str]) -> str:
    """A matrix of the true classes (rows) and the answers (columns), each row in shares of its class.

    Args:
        matrix: counts or areas.
        names: of the classes.
    """
    cell = int(np.clip(WIDEST / max(len(names), 1), *CELL))
    room = 14 + LETTER * max(map(len, names))
    side, totals, marks = cell * len(names), matrix.sum(1), []
    for row, total in enumerate(totals):
        y = room + cell * row
        label = escape(names[row])
        marks.append(f'<text class="name" x="{room - 8:.1f}" y="{y + cell / 2:.1f}" text-anchor="end">{label}</text>')
        turned = f"translate({y + cell / 2:.1f} {room - 8:.1f}) rotate(-60)"
        marks.append(f'<text class="name" transform="{turned}">{label}</text>')
        for column, value in enumerate(matrix[row]):
            share = value / total if total else 0.0
            x = room + cell * column
            said = f"{escape(names[row])} taken for {escape(names[column])}: {100 * share:.1f} %"
            if row == column:
                said = f"{escape(names[row])}: {100 * share:.1f} % right"
            kind = "right" if row == column else "wrong"
            mark = f'<rect class="cell" x="{x + 1:.1f}" y="{y + 1:.1f}" width="{cell - 2}" height="{cell - 2}" rx="3"/>'
            if share:
                mark += mark.replace('"cell"', f'"cell {kind}" fill-opacity="{max(share, 0.08):.3f}"')
            if share >= 0.005 and cell >= 22:
                ink = "strong" if share > 0.55 else "faint"
                place = f'x="{x + cell / 2:.1f}" y="{y + cell / 2:.1f}"'
                mark += f'<text class="share {ink}" {place}>{100 * share:.0f}</text>'
            marks.append(f"<g><title>{said}</title>{mark}</g>")
    size = room + side + 4
    slant = max(0.0, 0.5 * room - cell / 2)  # names of columns lean over the right edge
    width = size + slant
    return (
        f'<svg class="plot matrix" role="img" aria-label="Confusion matrix" viewBox="0 0 {width:.0f} {size:.0f}" '
        f'style="max-width:{width:.0f}px">{"".join(marks)}</svg>'
    )


def _framed(title: str, x_name: str, y_name: str, marks: str, highest: Number = 1.0) -> str:
    """A plot of fractions within its axes."""
    lines = []
    for fraction in (0, 0.25, 0.5, 0.75, 1):
        x, y = LEFT + fraction * ACROSS, _y(fraction)
        lines.append(f'<line class="grid" x1="{LEFT}" y1="{y}" x2="{LEFT + ACROSS}" y2="{y}"/>')
        value = f"{100 * fraction * highest:.0f}"
        lines.append(f'<text x="{LEFT - 8}" y="{y}" text-anchor="end">{value}</text>')
        lines.append(f'<text x="{x}" y="{_y(0) + 16}" text-anchor="middle">{fraction:g}</text>')
    middle = TOP + DOWN / 2
    names = (
        f'<text class="axis" x="{LEFT + ACROSS / 2}" y="{HEIGHT - 6}" text-anchor="middle">{x_name}</text>'
        f'<text class="axis" transform="translate(11 {middle}) rotate(-90)" text-anchor="middle">{y_name}, %</text>'
    )
    size = f"0 0 {WIDTH} {HEIGHT}"
    return f'<svg class="plot" role="img" aria-label="{title}" viewBox="{size}">{"".join(lines)}{marks}{names}</svg>'


def _bar(x: Number, width: Number, low: Number, high: Number, kind: str) -> str:
    height = max(_y(low) - _y(high), 0.0)
    return f'<rect class="{kind}" x="{x:.1f}" y="{_y(high):.1f}" width="{width:.1f}" height="{height:.1f}"/>'


def _y(fraction: Number) -> float:
    return TOP + DOWN * (1.0 - fraction)
