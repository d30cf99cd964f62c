"""The leaderboard of the field: models on the benchmarks of label maps, measured beside published, and their cost.

Every model is measured with its own published protocol, or all with one. Models on the same weights share the passes up
to the last block, and guides; each is charged the time of what another made for it, so that images a second are those
of the model by itself. What was reached is kept in a folder, from which the same command goes on.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from densevl.api.heads import BENCHMARKS
from densevl.benchmarks.leaderboard.contender import Result
from densevl.benchmarks.leaderboard.run import Leaderboard, run_leaderboard
from densevl.benchmarks.leaderboard.sets import set_names
from densevl.benchmarks.presets import OWN
from densevl.core.drawing.overlay import write_image
from densevl.core.drawing.scatter import draw_scatter
from densevl.core.engine import HERE, Engine
from densevl.core.files import atomic_write
from densevl.metrics.table import Cell, Table, or_none

__all__ = ["MODELS", "benchmarks_table", "leaderboard_data", "leaderboard_table"]

MODELS = ("maskclip", "dinoiser", "naclip")
"""What is measured where nobody names models and there is a folder of data."""

ON_SCENES = ("mini-maskclip", "mini-naclip", "mini")

NONE = float("nan")


def benchmarks_table(
    scenes: int,
    models: Sequence[str] = (),
    data: Path | None = None,
    protocol: str = OWN,
    sets: Sequence[str] = (),
    weights: str | None = None,
    limit: int | None = None,
    out: Path = Path("work_dirs/benchmarks"),
    engine: Engine = HERE,
    **options: Any,
) -> Table:
    """Measure the table; write it as Markdown, as JSON and as a picture of quality against cost.

    Args:
        scenes: number of held-out scenes, where they are measured.
        models: names of models, with commas or one by one.
        data: folder that holds the data sets; None measures on scenes.
        protocol: a published one for all, ``"own"`` for that of each, ``"none"`` for the settings of the models.
        sets: configs of label maps; none for the eight benchmarks, or for scenes without a folder.
        weights: of the encoder in the place of each model's own, such as ``random:0``.
        limit: use the first images of each set only.
        out: folder of the files, and of what is kept for the next time.
        engine: where images are labelled.
        options: further settings of every model, such as ``templates``.

    Raises:
        UsageError: where a name is unknown, or no data set is here.
    """
    names = tuple(dict.fromkeys(part for name in models for part in name.split(",") if part))
    chosen = set_names([part for name in sets for part in name.split(",") if part], data is not None)
    board = run_leaderboard(
        names or (ON_SCENES if data is None else MODELS),
        chosen,
        out / "reached",
        data,
        None if protocol == "none" else protocol,
        weights,
        scenes,
        limit,
        engine,
        **options,
    )
    table = leaderboard_table(board)
    with atomic_write(out / "benchmarks.md") as temporary:
        temporary.write_text(f"{table}\n", encoding="utf-8")
    with atomic_write(out / "benchmarks.json") as temporary:
        text = json.dumps(leaderboard_data(board), indent=2, ensure_ascii=False, allow_nan=False, default=str)
        temporary.write_text(text + "\n", encoding="utf-8")
    points = {name: (cost, mean) for name in board.models for mean, cost in [_summary(board, name)] if mean == mean}
    points = {name: point for name, point in points.items() if point[0] == point[0]}
    if points:
        few = ", ".join(board.sets) if len(board.sets) < 5 else f"{len(board.sets)} data sets"
        short = [caveat.partition(":")[0].partition(" (")[0] for caveat in _caveats(board)]
        title = "\n".join([f"mean of {few}", *(one if len(one) < 60 else f"{one[:57]}…" for one in short)])
        write_image(out / "benchmarks.png", draw_scatter(points, title, "images a second", "mIoU"))
    return table


def leaderboard_table(board: Leaderboard) -> Table:
    """The table: measured, and in brackets what is published and the difference."""
    rows = []
    for name in board.models:
        mean, cost = _summary(board, name)
        cells: list[Cell] = [_protocol(board, name)]
        cells += [_cell(board.results.get((name, data))) for data in board.sets]
        rows.append((name, [*cells, mean, f"{cost:.2g}".replace("nan", "–")]))
    titles = [BENCHMARKS.get(data, data) for data in board.sets]
    return Table(("mIoU", "protocol", *titles, "mean", "images / s"), rows, "\n\n".join(_notes(board)))


def leaderboard_data(board: Leaderboard) -> dict[str, Any]:
    """The table as values for a JSON file, with the protocol of every figure."""
    return {
        "sets": list(board.sets),
        "models": [
            {
                "model": name,
                "mean": or_none(_summary(board, name)[0]),
                "images_per_second": or_none(_summary(board, name)[1]),
                "sets": {
                    data: _values(board.results[name, data]) for data in board.sets if (name, data) in board.results
                },
                "refused": {data: why for (model, data), why in board.refused.items() if model == name},
            }
            for name in board.models
        ],
        "absent": dict(board.absent),
        "caveats": _caveats(board),
    }


def _values(result: Result) -> dict[str, Any]:
    return {
        "mIoU": or_none(result.miou),
        "published": result.published,
        "difference": None if result.published is None else or_none(result.miou - result.published),
        "images": result.images,
        "of": result.full,
        "failures": result.failures,
        "images_per_second": or_none(result.per_second),
        "preset": result.preset or None,
        "mix": list(result.mix),
        "doubts": list(result.doubts),
        "protocol": dict(result.protocol),
    }


def _summary(board: Leaderboard, name: str) -> tuple[float, float]:
    """Mean mIoU and images a second over all sets; nan where one of them is missing."""
    found = [board.results.get((name, data)) for data in board.sets]
    results = [result for result in found if result is not None]
    if len(results) < len(found):
        return NONE, NONE
    return fmean(one.miou for one in results), len(results) / sum(1 / one.per_second for one in results)


def _cell(result: Result | None) -> str:
    if result is None or result.miou != result.miou:
        return "–"
    if result.published is None:
        return f"{result.miou:.1f}"
    return f"{result.miou:.1f} ({result.published:.1f}, {result.miou - result.published:+.1f})".replace("-", "−")


def _protocol(board: Leaderboard, name: str) -> str:
    """The protocol of a row; a mix is called so."""
    results = [result for (model, _), result in board.results.items() if model == name]
    names = sorted({f"{'mix: ' if one.mix else ''}{one.preset}" if one.preset else "the model's" for one in results})
    return " / ".join(names) or "–"


def _notes(board: Leaderboard) -> list[str]:
    published = any(result.published is not None for result in board.results.values())
    beside = "; in brackets the published figure and the difference" if published else ""
    lines = [f"mIoU in percent{beside}. {_counts(board)}"]
    lines += [f"**{caveat}**" for caveat in _caveats(board)]
    for name in board.models:
        mixes: dict[str, list[str]] = {}
        for (model, data), result in board.results.items():
            if model == name and result.mix:
                mixes.setdefault(f"{result.preset}: {'; '.join(result.mix)}", []).append(data)
        lines += [f"{name} ({', '.join(sets)}) is a mix, not the published {mix}." for mix, sets in mixes.items()]
        doubts = dict.fromkeys(d for (model, _), one in board.results.items() if model == name for d in one.doubts)
        if doubts:
            lines.append(f"{name}: {' '.join(doubts)}")
    reasons: dict[tuple[str, str], list[str]] = {}
    for (model, data), why in board.refused.items():
        reasons.setdefault((model, why), []).append(data)
    lines += [f"{model} ({', '.join(sets)}): {why}." for (model, why), sets in reasons.items()]
    lines += [f"Absent: {name}, {what}." for name, what in board.absent.items()]
    return lines


def _counts(board: Leaderboard) -> str:
    """How many images were measured of how many."""
    counts = {data: result for (_, data), result in board.results.items()}
    return ", ".join(
        f"{data}: {one.images}" + (f" of {one.full}" if one.full not in (None, one.images) else "") + " images"
        for data, one in counts.items()
    )


def _caveats(board: Leaderboard) -> list[str]:
    """Why figures mean nothing, or may not be compared with published ones."""
    results = board.results
    found = []
    random = sorted({name for (name, _), one in results.items() if "@random" in str(one.protocol)})
    if random:
        found.append(f"random weights ({', '.join(random)}): these figures say nothing about quality")
    photos = {name for (name, data), one in results.items() if data != "scenes" and "mini-clip@" in str(one.protocol)}
    if names := sorted(photos - set(random)):
        found.append(f"{', '.join(names)}: the mini CLIP knows drawn scenes alone, and figures on photos mean nothing")
    few = [data for data in board.sets if any(_few(one) for (_, name), one in results.items() if name == data)]
    if few:
        found.append(f"not all images of {', '.join(few)}: not comparable with published figures")
    if any(one.failures for one in results.values()):
        found.append("images that could not be used were left out: figures of these sets are invalid")
    return found


def _few(result: Result) -> bool:
    return result.full is not None and result.images + result.failures < result.full
