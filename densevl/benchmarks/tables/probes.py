"""What linear probes read from the dense features of the mini model, beside colour histograms and chance.

The classes of presence and localisation are the eight shapes, in any colour. Three of five scenes train, the others are
judged.
"""

from tqdm import tqdm

from densevl.api.loading import load
from densevl.benchmarks.lenses.probes import Probes, judged, seen
from densevl.benchmarks.lenses.source import Source
from densevl.benchmarks.lenses.subject import Subject
from densevl.metrics.table import Spread, Table
from densevl.training.probing.primitives import PRIMITIVES

__all__ = ["probes_table"]

SEEDS = (0, 1, 2)
"""Collections of scenes."""


def probes_table(scenes: int) -> Table:
    """Measure the table.

    Args:
        scenes: of each collection, those that train and those that are judged together.
    """
    subject, lens = Subject(load("mini", device="cpu", lazy=True)), Probes()
    found = []
    for seed in tqdm(SEEDS, desc="seeds", disable=None):
        images = lens.gather(subject, Source(scenes=scenes, seed=seed))
        found.append(judged(seen(subject, images, lens.side, lens.names), lens.side, lens.epochs, lens.share, seed))
    first = found[0]
    rows = []
    for row in first:
        values = [Spread([100 * one[row][name].score for one in found]) for name in PRIMITIVES]
        rows.append((row, values))
    names = (f"{name}, {next(iter(first.values()))[name].name}" for name in PRIMITIVES)
    note = (
        f"{scenes} scenes of each of {len(SEEDS)} collections, {lens.share:.0%} of them train; a grid of "
        f"{lens.side}×{lens.side}, {lens.epochs} epochs; `mini`; mean ± standard deviation, in percent."
    )
    return Table(("linear probes of", *names), rows, note)
