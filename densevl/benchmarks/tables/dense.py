"""Every dense head on the mini family: label maps of held-out scenes, time, and which published gain shows here.

The rows are the mini models of :func:`densevl.api.heads.heads`, whatever that file lists, each labelling the same
scenes with its own settings. A gain is over the mini model of MaskCLIP, scene collection by scene collection, so that
its spread is that of the difference. A published gain *shows here* where the gain on scenes is larger than twice its
standard deviation over the seeds.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean

from tqdm import tqdm

from densevl.api.heads import BASELINE, Head, heads
from densevl.api.loading import load
from densevl.api.models import model_entry
from densevl.benchmarks.segmentation.datasets import ScenesDataset
from densevl.benchmarks.speed.cost import measure
from densevl.benchmarks.tables.dinoiser import Row, count
from densevl.core.errors import DensevlError, UsageError, first_line, shortened
from densevl.metrics.confusion import scores_of
from densevl.metrics.table import Cell, Spread, Table

__all__ = ["HEAD", "SEEDS", "Measured", "dense_table"]

SEEDS = (11, 12, 13)
"""Of the collections of scenes; no setting was chosen on them."""

HEAD = (
    "model",
    "grounds",
    "seen pairs",
    "never-seen pairs",
    "all",
    "ms",
    "gain over MaskCLIP",
    "published gain",
    "shows here",
)

REPETITIONS = 7
CERTAIN = 2.0
"""Standard deviations by which a gain must differ from none."""
NONE = float("nan")


@dataclass(frozen=True)
class Measured:
    """What a model reached on the collections, one value for each seed.

    Attributes:
        groups: mIoU of grounds, seen and never-seen pairs.
        all: mIoU of all classes.
    """

    groups: Sequence[Sequence[float]]
    all: Sequence[float]

    def over(self, other: "Measured") -> Spread:
        """The gain over another model, collection by collection."""
        return Spread([own - base for own, base in zip(self.all, other.all, strict=True)])


def dense_table(scenes: int, models: Sequence[str] = ()) -> Table:
    """Measure the table.

    Args:
        scenes: of each seed.
        models: names of models, which need not be in the list of heads; none for the mini models of all heads. That of
            MaskCLIP is always among the rows.

    Raises:
        UsageError: where a name is unknown, or the model labels no pixels.
    """
    known = {head.mini: head for head in heads().values() if head.mini}
    base = heads()[BASELINE].mini
    names = tuple(dict.fromkeys((base, *(models or known))))
    for name in names:
        if not model_entry(name.partition("@")[0]).segmentor:
            raise UsageError(f"models: {name} labels no pixels")
    loaded, notes = _loaded(names)
    collections = [ScenesDataset(seed=seed, length=scenes) for seed in SEEDS]
    found: dict[str, Measured] = {}
    for name in tqdm(loaded, desc="heads", disable=None):
        try:
            found[name] = _measured(loaded[name], collections)
        except DensevlError as error:
            notes[name] = shortened(first_line(error), 120)
    times = _milliseconds({name: loaded[name] for name in found}, collections[0])
    order = sorted(found, key=lambda name: -fmean(found[name].all))
    rows: list[tuple[str, list[Cell]]] = [
        (name, _cells(found[name], found[base], times[name], known.get(name))) for name in order
    ]
    rows += [(name, [*[NONE] * 7, "", ""]) for name in notes]
    return Table(HEAD, [(name, cells[: len(HEAD) - 1]) for name, cells in rows], _note(scenes, rows, notes))


def _loaded(names: Sequence[str]) -> tuple[dict[str, Row], dict[str, str]]:
    """The models as rows, and why some are missing."""
    rows, notes = {}, {}
    for name in names:
        try:
            rows[name] = Row(name, load(name, device="cpu", offline=True).segmentor)  # type: ignore[arg-type]
        except DensevlError as error:
            notes[name] = shortened(first_line(error), 120)
    return rows, notes


def _measured(row: Row, collections: Sequence[ScenesDataset]) -> Measured:
    groups, means = [], []
    for dataset in collections:
        (matrix,) = count([row], dataset)
        scores = scores_of(matrix, dataset.vocabulary.names, dataset.metainfo["groups"])
        groups.append(list(scores.group_iou().values()))
        means.append(scores.mean_iou)
    return Measured(list(zip(*groups, strict=True)), means)


def _milliseconds(rows: Mapping[str, Row], dataset: ScenesDataset) -> dict[str, float]:
    """Processor time of labelling one scene, texts embedded before; the models take turns."""
    scene = [dataset.scene(0)]
    label = {name: partial(row.label, scene, row.segmentor.embed(dataset.vocabulary)) for name, row in rows.items()}
    return {name: 1000 * cost.median for name, cost in measure(label, REPETITIONS, clock=time.process_time).items()}


def _cells(own: Measured, base: Measured, milliseconds: float, head: Head | None) -> list[Cell]:
    gain = own.over(base)
    published = None if head is None else head.gain
    cells: list[Cell] = [*map(Spread, own.groups), Spread(own.all), milliseconds]
    if head is not None and head.name == BASELINE:
        return [*cells, "", "", ""]
    return [*cells, gain, NONE if published is None else published, _verdict(gain, published)]


def _verdict(gain: Spread, published: float | None) -> str:
    """Whether a published gain shows; nothing where none was published."""
    if published is None:
        return ""
    certain = CERTAIN * gain.deviation
    return "yes" if gain.mean > certain else "no, a loss" if gain.mean < -certain else "no"


def _note(scenes: int, rows: Sequence[tuple[str, Sequence[Cell]]], missing: Mapping[str, str]) -> str:
    shown = [name for name, cells in rows if cells[-1] == "yes"]
    hidden = [name for name, cells in rows if str(cells[-1]).startswith("no")]
    about = (
        f"mIoU of {scenes} held-out scenes of 128 px for each of seeds {', '.join(map(str, SEEDS))}, mean ± standard "
        "deviation; ms: processor time of one scene, encoded and labelled on one core. Published gains are means over "
        "the benchmarks that are published for the head and for MaskCLIP on the same encoder."
    )
    said = [
        f"Published gains that show on scenes: {', '.join(shown) or 'none'}.",
        f"That do not: {', '.join(hidden) or 'none'}.",
    ]
    return " ".join([about, *said, *(f"{name}: {why}." for name, why in missing.items())])
