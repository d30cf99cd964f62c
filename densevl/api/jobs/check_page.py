"""The page of a check: figures as tiles and plots, the classes one by one, and the surest mistakes.

It is static: no script, nothing loaded from elsewhere, all links relative. Names are escaped wherever they stand.
"""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from densevl.classifiers.classes import Classes
from densevl.classifiers.evidence import Neighbour
from densevl.core.drawing.crops import draw_crop
from densevl.core.drawing.overlay import write_image
from densevl.core.drawing.plots import confusion_plot, histogram_plot, reliability_plot
from densevl.core.errors import ImageError, UsageError
from densevl.core.files import atomic_write
from densevl.core.geometry import Box
from densevl.core.images import read_image
from densevl.datasets.examples import Example, SequenceExample, is_sequence
from densevl.tasks.sequences.pictures import strip
from densevl.tasks.teaching.checking import Checked
from densevl.tasks.teaching.supporting import box_of

__all__ = ["write_check_page"]

MOST = 12
"""Mistakes that are shown, and as many unknown examples."""

MATRIX = 40
"""Classes up to which their confusion is drawn."""

CROP, SMALL = 320, 120
"""Sides in pixels of the picture of an example, and of those that look like it."""

TEMPLATE = Path(__file__).parents[2] / "data" / "report"


def write_check_page(out: Path, classes: Classes, found: Mapping[str, Checked], data: Mapping[str, Any]) -> Path:
    """Write the page and its pictures.

    Args:
        out: the folder.
        classes: that were checked.
        found: what they say, by head.
        data: the figures, as they are written to the file beside the page.

    Returns:
        The file of the page.

    Raises:
        OutputError: where it cannot be written.
    """
    test, own = data["test"], data["classes"]
    body = "\n".join(_head(out, one, data["heads"][name], classes) for name, one in found.items())
    parts = {
        "over": "Taught classes, checked",
        "title": escape(f"{len(classes)} classes of {Path(own['file']).name}"),
        "note": escape(
            f"{test['examples']} labelled examples of {test['source']}, answered by the model {data['model']}"
        ),
        "style": _template("report.css"),
        "body": body + _provenance(data),
        "footer": f"Every figure of this page, and the answer for each example, is in "
        f'<a href="check.json">check.json</a>. densevl, classes {escape(own["digest"])}.',
    }
    page = re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _template("report.html"))
    with atomic_write(out / "index.html") as temporary:
        temporary.write_text(page, encoding="utf-8")
    return out / "index.html"


def _head(out: Path, checked: Checked, figures: Mapping[str, Any], classes: Classes) -> str:
    """The sections of one head."""
    title = checked.head.capitalize()
    return "\n".join(
        [
            f"<h2>{title}</h2>" * (len(classes.heads) > 1),
            f'<div class="tiles">{"".join(_tiles(checked, figures))}</div>',
            _verdict(figures),
            f'<div class="plots">{"".join(_plots(checked, figures))}</div>',
            _classes(checked, figures),
            _mistakes(out, checked, classes),
            _strangers(out, checked, classes),
        ]
    )


def _tiles(checked: Checked, figures: Mapping[str, Any]) -> Iterable[str]:
    regions = checked.head != "pixels"
    counted = f"{figures['known']} examples of these classes" if regions else "the pixels of masks of these classes"
    yield _tile("Right", _percent(figures["accuracy"]), f"of {counted}")
    if not regions:
        yield _tile("Overlap", _percent(figures["mIoU"]), "mean intersection over union of the classes: mIoU")
    yield _tile(
        "Calibration error", _percent(figures["ece"]), "mean distance of what it says from what is so; 0 is best"
    )
    sets = figures["sets"]
    if sets:
        promised = f"sets of {sets['classes']:.2f} classes on average, which shall hold {_share(sets['coverage'])}"
        yield _tile("Covered", _percent(sets["covered"]), promised)
    strange = figures["out_of_distribution"]
    if strange:
        strangers = f"{figures['unknown']} examples" if regions else "pixels"
        said = f"AUROC of {strangers} that are none of the classes; 50 % is chance"
        yield _tile("Unknown told apart", _percent(strange["auroc"]), said)
    called = figures["called_unknown"]
    if called and called["known_called_unknown"] is not None:
        said = f"of the known are called unknown, where {_share(called['share'])} may be"
        yield _tile("False alarms", _percent(called["known_called_unknown"]), said)


def _tile(name: str, value: str, said: str) -> str:
    return f'<div class="tile"><span>{name}</span><b>{value}</b><p>{escape(said)}</p></div>'


def _verdict(figures: Mapping[str, Any]) -> str:
    """A sentence on whether its confidence can be believed."""
    if figures["accuracy"] is None:
        return ""
    weights = np.array([one["weights"] for one in figures["reliability"]])
    sure = np.array([one["confidences"] or 0.0 for one in figures["reliability"]])
    said, right = float((weights * sure).sum() / weights.sum()), float(figures["accuracy"])
    gap = said - right
    if abs(gap) < 0.03:
        judged, warn = "it can be taken at its word", ""
    elif gap > 0:
        judged, warn = "it is more sure than it should be", " warn"
    else:
        judged, warn = "it is more often right than it says", ""
    return (
        f'<p class="verdict{warn}">On average it is <b>{_share(said)}</b> sure and <b>{_share(right)}</b> of the '
        f"answers are right: {judged}. {_share(figures['overconfident'], 1)} are wrong and 90 % sure or more.</p>"
    )


def _plots(checked: Checked, figures: Mapping[str, Any]) -> Iterable[str]:
    scores = checked.scores
    found = scores.reliability
    if len(scores.right):
        yield _panel(
            "As right as it says?",
            reliability_plot(found.confidences, found.accuracies, found.weights),
            f"{_key('--accent')}right answers by confidence; {_key('--warm')}too sure, {_key('--cool')}not sure "
            "enough; small grey bars: how many answers.",
        )
    if (~scores.known).any() and len(scores.right):
        scale = max(float(np.quantile(scores.doubts, 0.98)), checked.limit or 0.0) * 1.05 or 1.0
        limit = None if checked.limit is None else checked.limit / scale
        called = figures["called_unknown"]
        line = ""
        if called:
            caught = called["unknown_called_unknown"]
            line = f" Beyond the line it says <i>unknown</i>: {_share(caught)} of the strangers are."
        yield _panel(
            "Does it know what it does not know?",
            histogram_plot(scores.doubts[scores.known] / scale, scores.doubts[~scores.known] / scale, limit),
            f"{_key('--accent')}known and {_key('--warm')}strange examples by how far they lie from everything that "
            f"was shown.{line}",
        )


def _panel(title: str, plot: str, said: str) -> str:
    return f'<section class="panel"><h3>{title}</h3>{plot}<p>{said}</p></section>'


def _key(colour: str) -> str:
    return f'<i class="key" style="background:var({colour})"></i>'


def _classes(checked: Checked, figures: Mapping[str, Any]) -> str:
    rows = "".join(_row(one, checked.head) for one in figures["classes"])
    size = "IoU" if checked.head == "pixels" else "examples"
    heads = ("class", size, "right", "", "confidence", "precision", "taken for")
    kinds = ("", "figure", "figure", "", "figure", "figure", "")
    head = "".join(
        f'<th class="{kind}" scope="col">{name}</th>' if kind else f'<th scope="col">{name}</th>'
        for name, kind in zip(heads, kinds, strict=True)
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    panels = f'<section class="panel"><h3>One by one</h3><div class="scroll">{table}</div></section>'
    drawn = 0 < len(checked.scores.names) <= MATRIX and len(checked.scores.right)
    if drawn:
        plot = confusion_plot(checked.scores.confusion, checked.scores.names)
        matrix = f'<section class="panel"><h3>What is taken for what</h3><div class="scroll">{plot}</div>'
        panels = f"{matrix}<p>Rows: what it is. Columns: what it is taken for, in percent.</p></section>{panels}"
    two = " two" if drawn and len(checked.scores.names) <= 14 else ""
    return f'<h2>The classes</h2><div class="classes{two}">{panels}</div>'


def _row(one: Mapping[str, Any], head: str) -> str:
    size = _percent(one["iou"]) if head == "pixels" else str(one["examples"])
    recall = one["recall"] or 0.0
    cells = [
        f"<td>{escape(one['name'])}</td>",
        f'<td class="figure">{size}</td>',
        f'<td class="figure">{_percent(one["recall"])}</td>',
        f'<td class="wide"><span class="meter"><i style="width:{100 * recall:.1f}%"></i></span></td>',
        f'<td class="figure">{_percent(one["confidence"])}</td>',
        f'<td class="figure">{_percent(one["precision"])}</td>',
        f"<td>{escape(one['taken_for'] or '–')}</td>",
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _mistakes(out: Path, checked: Checked, classes: Classes) -> str:
    scores = checked.each
    wrong = np.flatnonzero(scores.known & (scores.answers != scores.labels))
    if not len(wrong):
        return '<h2>The surest mistakes</h2><p class="lead">There is none: every example got its class.</p>'
    chosen = wrong[np.argsort(-scores.confidences[wrong], kind="stable")][:MOST]
    lead = f"{len(wrong)} of {len(scores.right)} examples are taken for something else; the surest answers come first."
    if checked.neighbours:
        lead += " The small pictures are the taught examples that each looks like most."
    cards = "".join(_card(out, checked, int(number), classes, "mistake") for number in chosen)
    return f'<h2>The surest mistakes</h2><p class="lead">{lead}</p><div class="cards">{cards}</div>'


def _strangers(out: Path, checked: Checked, classes: Classes) -> str:
    """Unknown examples that look known, the most known first."""
    scores = checked.each
    strange = np.flatnonzero(~scores.known)
    if not len(strange):
        return ""
    passed = strange if checked.limit is None else strange[scores.doubts[strange] <= checked.limit]
    title = "<h2>Strangers that it takes for something</h2>"
    if not len(passed):
        lead = f"None of {len(strange)} examples of no class passes for a known one."
        return f'{title}<p class="lead">{lead}</p>'
    chosen = passed[np.argsort(scores.doubts[passed], kind="stable")][:MOST]
    lead = (
        f"{len(passed)} of {len(strange)} examples of no class pass for a known one; those that look most known first."
    )
    cards = "".join(_card(out, checked, int(number), classes, "stranger") for number in chosen)
    return f'{title}<p class="lead">{lead}</p><div class="cards">{cards}</div>'


def _card(out: Path, checked: Checked, number: int, classes: Classes, kind: str) -> str:
    scores, example = checked.each, checked.examples[number]
    link = _picture(out, f"{checked.head}/{kind}-{number}", example.image, example, CROP)
    picture = f'<img src="{link}" alt="">' if link else ""
    answer = classes.names[int(scores.answers[number])]
    said = f"<em>{escape(answer)}</em>, {_share(scores.confidences[number])} sure"
    neighbours = checked.neighbours[number] if checked.neighbours else []
    alike = "".join(
        _alike(out, one, f"{checked.head}/{kind}-{number}-{rank}", classes) for rank, one in enumerate(neighbours)
    )
    return (
        f'<article class="card">{picture}<div><p class="said">{said}</p><p>is {escape(example.name)}</p>'
        f'<p class="where" title="{escape(str(example.image))}">{escape(example.image.name)}</p>'
        f'<div class="alike">{alike}</div></div></article>'
    )


def _alike(out: Path, one: Neighbour, name: str, classes: Classes) -> str:
    link = _picture(out, name, Path(one.image), one.box, SMALL)
    picture = f'<img src="{link}" alt="">' if link else ""
    said = f"{escape(classes.names[one.label])}<br>{one.similarity:.2f}"
    return f'<figure title="{escape(one.image)}">{picture}<figcaption>{said}</figcaption></figure>'


def _picture(out: Path, name: str, file: Path, place: Example | SequenceExample | Box, side: int) -> str:
    """The link of a picture of a region or a sequence, which is written; empty where it is not here any more."""
    try:
        image = strip(file, side // 2) if is_sequence(file) else read_image(file)
    except (ImageError, UsageError):
        return ""
    if not is_sequence(file):
        size = (image.shape[0], image.shape[1])
        whole = (0, 0, size[1], size[0])
        box = box_of(place, size) if isinstance(place, Example) else place if isinstance(place, tuple) else whole
        image = draw_crop(image, box, side)
    write_image(out / "page" / f"{name}.jpg", image)
    return quote(f"page/{name}.jpg")


def _provenance(data: Mapping[str, Any]) -> str:
    """How the classes were taught, and what was promised then."""
    rows: list[tuple[str, str]] = [("classes", ", ".join(data["classes"]["names"])), ("model", data["model"])]
    strange = data["test"]["unknown_names"]
    if strange:
        rows.append(("none of the classes", ", ".join(strange)))
    for name, head in data["heads"].items():
        facts = head["facts"]
        rows.append((f"{name}: method", str(facts.get("method", "?"))))
        held = facts.get("held_out")
        if held:
            said = f"{_share(held['accuracy'], 1)} right, calibration error {_share(held['ece'], 1)}"
            rows.append((f"{name}: held out while teaching", said))
        for step in facts.get("taught", []):
            shots = ", ".join(f"{count} {one}" for one, count in step.get("shots", {}).items())
            rows.append((f"{name}: taught by", f"{shots}, from {step.get('images', '?')} images"))
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows)
    return f"<h2>How it was taught</h2><dl>{listed}</dl>"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}<small> %</small>"


def _share(value: float, digits: int = 0) -> str:
    return f"{100 * value:.{digits}f} %"


@cache
def _template(name: str) -> str:
    return (TEMPLATE / name).read_text(encoding="utf-8")
