"""What the lenses find in the mini model, collection by collection of scenes.

A row is a figure of a lens and what it is compared with: a bias by the way of asking, a corrupted image with a clean
one. The lens ``probes`` has a table of its own (``probes``), and so has frequency that is caused (``frequency``).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from densevl.api.loading import load
from densevl.benchmarks.lenses import LENSES
from densevl.benchmarks.lenses.source import Source
from densevl.benchmarks.lenses.subject import Subject
from densevl.benchmarks.tables.kept_runs import KeptRuns
from densevl.core.registry import build
from densevl.metrics.table import Spread, Table

__all__ = ["FIGURES", "SEEDS", "Figure", "lenses_table"]

MODEL, SEEDS = "mini", (0, 1, 2)
"""The model, and the collections of scenes."""

SETTINGS: Mapping[str, Mapping[str, Any]] = {"corruptions": {"kinds": ["noise", "blur"], "images": 10}}
"""Settings of lenses that would take long otherwise."""


class Figure(NamedTuple):
    """A figure of a lens.

    Attributes:
        lens: its name.
        said: what it is.
        paths: where it stands in the values of the lens, slashes between the keys; one for each column.
    """

    lens: str
    said: str
    paths: tuple[str, str, str]


def _heads(path: str) -> tuple[str, str, str]:
    """Paths of regions and pixels."""
    return "", path.format("regions"), path.format("pixels")


def _ways(path: str) -> tuple[str, str, str]:
    """Paths of whole images, regions and pixels."""
    return path.format("image"), path.format("regions"), path.format("pixels")


FIGURES = (
    Figure("calibration", "accuracy", _heads("{}/before/accuracy")),
    Figure("calibration", "calibration error", _heads("{}/before/ece")),
    Figure("calibration", "the same after temperature scaling", _heads("{}/after/ece")),
    Figure("ood", "AUROC of new shapes, by entropy", _heads("new shapes/{}/scores/entropy/auroc")),
    Figure("ood", "AUROC of new colours, by entropy", _heads("new colours/{}/scores/entropy/auroc")),
    Figure("association", "its own attribute", _ways("{}/right")),
    Figure("association", "another thing's attribute", _ways("{}/other")),
    Figure("association", "concept association bias", _ways("{}/bias")),
    Figure("cues", "decisions by shape, of those by shape or colour", _ways("{}/shape_share")),
    Figure("corruptions", "clean images", _heads("{}/clean")),
    Figure("corruptions", "corrupted images", _heads("{}/mean")),
    Figure("corruptions", "steps of severity at which a score does not rise", _heads("{}/steps_that_do_not_rise")),
    Figure(
        "matching", "captions and images that find each other", ("kinds/all/whole/group", "kinds/all/things/group", "")
    ),
)
"""The rows."""


def lenses_table(scenes: int, out: str | Path | None = None, seeds: Sequence[int] = SEEDS) -> Table:
    """Measure the table.

    Args:
        scenes: of each collection.
        out: folder that keeps the result of each run; None to keep nothing.
        seeds: of the collections.
    """
    kept, subject = KeptRuns(out), Subject(load(MODEL, device="cpu", lazy=True))
    names = dict.fromkeys(figure.lens for figure in FIGURES)
    values: dict[tuple[str, int], Mapping[str, Any]] = {}
    for name, seed in tqdm([(name, seed) for name in names for seed in seeds], desc="lenses", disable=None):
        own = SETTINGS.get(name, {})
        settings = {"scenes": scenes, **own}
        values[name, seed] = kept(f"{name}-{seed}", settings, lambda: _values(subject, name, own, scenes, seed))  # noqa: B023
    rows = []
    for figure in FIGURES:
        cells = [_spread([values[figure.lens, seed] for seed in seeds], path) for path in figure.paths]
        rows.append((f"{figure.lens}: {figure.said}", cells))
    note = (
        f"{scenes} scenes of each of {len(seeds)} collections, `{MODEL}`, mean ± standard deviation, in percent; "
        f"corruptions: {', '.join(SETTINGS['corruptions']['kinds'])}, five severities of "
        f"{SETTINGS['corruptions']['images']} images. Matching by whole images, and by the things of regions."
    )
    return Table(("asked by", "whole images", "regions", "pixels"), rows, note)


def _values(subject: Subject, name: str, settings: Mapping[str, Any], scenes: int, seed: int) -> Mapping[str, Any]:
    lens = build(LENSES, {**settings, "type": name})
    return lens.examine(subject, lens.gather(subject, Source(scenes=scenes, seed=seed))).values


def _spread(found: Sequence[Mapping[str, Any]], path: str) -> Spread | str:
    """A figure of all collections in percent; nothing where a lens does not ask so."""
    if not path:
        return ""
    values = [_at(one, path) for one in found]
    return Spread([float("nan") if value is None else 100 * float(value) for value in values])


def _at(values: Any, path: str) -> Any:
    for key in path.split("/"):
        values = values[key]
    return values
