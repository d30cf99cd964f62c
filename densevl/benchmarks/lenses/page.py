"""The page of lenses: a section each, with its lines, pictures and tables.

It is static: no script, nothing loaded from elsewhere, all links relative. Texts are escaped wherever they stand.
"""

import re
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from urllib.parse import quote

from densevl.benchmarks.lenses.contracts import Finding, Plot, Table
from densevl.core.drawing.overlay import write_image
from densevl.core.files import atomic_write

__all__ = ["write_page"]

GRID = "grid-template-columns:repeat(auto-fit,minmax(min(100%,30rem),1fr))"
"""Pictures stand side by side where each is wide enough to be read."""

TEMPLATE = Path(__file__).parents[2] / "data" / "report"


def write_page(report: Path, title: str, note: str, found: Mapping[str, tuple[str, Finding]]) -> Path:
    """Write the page and its pictures.

    Args:
        report: the folder.
        title: heading of the page.
        note: a line below it.
        found: heading and finding of each lens, by its name.

    Returns:
        The file of the page.

    Raises:
        OutputError: where it cannot be written.
    """
    parts = {
        "over": "What a model does not know",
        "title": escape(title),
        "note": escape(note),
        "style": (TEMPLATE / "report.css").read_text(encoding="utf-8"),
        "body": "\n".join(_section(report, name, heading, one) for name, (heading, one) in found.items()),
        "footer": 'Every figure of this page is in <a href="check.json">check.json</a>. densevl.',
    }
    template = (TEMPLATE / "report.html").read_text(encoding="utf-8")
    with atomic_write(report / "index.html") as temporary:
        temporary.write_text(re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], template), encoding="utf-8")
    return report / "index.html"


def _section(report: Path, name: str, heading: str, finding: Finding) -> str:
    said = "<br>\n".join(map(escape, finding.lines))
    plots = "".join(_plot(report, name, plot) for plot in finding.plots)
    tables = "".join(map(_table, finding.tables))
    return (
        f'<h2 id="{escape(name)}">{escape(heading)}</h2>\n<p class="verdict">{said}</p>\n'
        f'<div class="plots" style="{GRID}">{plots}</div>\n{tables}'
    )


def _plot(report: Path, lens: str, plot: Plot) -> str:
    place = f"page/{lens}/{plot.name}.png"
    write_image(report / place, plot.image)
    return (
        f'<section class="panel"><img src="{quote(place)}" alt="{escape(plot.said)}" '
        f'style="width:100%;max-width:50rem"><p>{escape(plot.said)}</p></section>'
    )


def _table(table: Table) -> str:
    def row(values: Iterable[str | int | float | None], cell: str) -> str:
        cells = (
            f"<{cell}{' class=figure' * figure}>{escape(_said(value))}</{cell}>"
            for figure, value in zip(figures, values, strict=True)
        )
        return f"<tr>{''.join(cells)}</tr>"

    figures = [not any(isinstance(own[index], str) for own in table.rows) for index in range(len(table.columns))]
    body = "".join(row(values, "td") for values in table.rows)
    return (
        f'<h3 style="margin-top:1.6rem">{escape(table.title)}</h3>\n'
        f'<div class="scroll"><table>{row(table.columns, "th")}{body}</table></div>\n'
    )


def _said(value: str | int | float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
