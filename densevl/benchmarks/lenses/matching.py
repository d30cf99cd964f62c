"""Whether a model tells captions of the same words apart: Winoground's scores, without and with composition.

Sources: :mod:`densevl.metrics.matching` and :mod:`densevl.regions.composition`. An image scores for a caption by the
cosine of the *whole* image; *composed* with its parts, as ComCLIP does; and by its *things*, the mean cosine of the
phrases of the caption, each with a region of its own. The part of a phrase is the region that is nearest to it.

Where we differ from ComCLIP: scenes say what their captions name and where it is; captions of a file are split by the
tagger of densevl in the place of a language model, and their regions are those that the model proposes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor
from tqdm import tqdm

from densevl.benchmarks.lenses.choosing import refuse_taught
from densevl.benchmarks.lenses.contracts import Finding, Plot, Table
from densevl.benchmarks.lenses.source import SIDE, Source
from densevl.benchmarks.lenses.subject import Subject
from densevl.core.drawing.bars import draw_bars
from densevl.core.images import read_image
from densevl.core.regions import Regions
from densevl.datasets.matching import MatchingRecord, read_matching
from densevl.datasets.scenes import Scene
from densevl.datasets.scenes.swapped import SWAPS, SwappedScenes, swapped_scenes
from densevl.metrics.matching import CHANCE, matching_scores
from densevl.regions.composition import composed, parts_of_regions
from densevl.tasks.annotation.noun_phrases import noun_phrases
from densevl.tasks.annotation.rule_tagger import rule_tags

__all__ = ["Matching"]

Image = UInt8[np.ndarray, "_ _ 3"]
Row = tuple[str | int | float | None, ...]
Vectors = Float32[Tensor, "_ d"]


@dataclass(frozen=True, eq=False)
class Pair:
    """Two images and the captions that are true of them.

    Attributes:
        kind: of the difference.
        read: gives each image.
        place: gives the regions of an image; None lets the model propose.
        captions: of each.
        phrases: of each caption.
    """

    kind: str
    read: tuple[Callable[[], Image], Callable[[], Image]]
    place: tuple[Callable[[], Regions], Callable[[], Regions]] | None
    captions: tuple[str, str]
    phrases: tuple[Sequence[str], Sequence[str]]


@dataclass(frozen=True)
class Matching:
    """Text, image and group score of pairs, by each way to compare an image with a caption."""

    name = "matching"
    title = "Which caption is that of which image"

    def gather(self, subject: Subject, source: Source) -> list[Pair]:
        """Swapped scenes of each kind, or the pairs of a file in Winoground's form.

        Raises:
            UsageError: where the subject is asked by taught classes, or the file is of another form.
        """
        refuse_taught(self.name, subject)
        if source.file is not None:
            return [_of_record(record) for record in read_matching(source.file, source.images)]
        each = max(1, source.scenes // len(SWAPS))
        return [
            _of_scenes(swap, swapped_scenes(swap, source.seed, index, SIDE)) for swap in SWAPS for index in range(each)
        ]

    def examine(self, subject: Subject, data: Sequence[Pair]) -> Finding:
        """The scores of each kind and of all, by each way."""
        found = [_similarities(subject, pair) for pair in tqdm(data, desc="pairs", delay=2, disable=None)]
        kinds = list(dict.fromkeys(pair.kind for pair in data))
        groups = {kind: [index for index, pair in enumerate(data) if pair.kind == kind] for kind in kinds}
        groups = groups if len(kinds) == 1 else {**groups, "all": list(range(len(data)))}
        values: dict[str, Any] = {}
        lines: list[str] = []
        rows: list[Row] = []
        for kind, members in groups.items():
            values[kind] = {"pairs": len(members)}
            for way in WAYS:
                scores = matching_scores(np.stack([found[index][way] for index in members]))
                figures = {name: float(one.mean()) for name, one in scores._asdict().items()}
                values[kind][way] = figures
                rows.append((kind, len(members), way, *figures.values()))
            said = "; ".join(
                f"{way} " + "/".join(f"{100 * value:.1f}" for value in values[kind][way].values()) for way in WAYS
            )
            lines.append(f"{kind}, {len(members)} pairs, text/image/group score: {said}")
        lines.append("guessing gives 25.0/25.0/16.7")
        columns = ("kind", "pairs", "image by", "text score", "image score", "group score")
        plot = _plot(values, list(groups))
        return Finding({"chance": CHANCE, "kinds": values}, lines, [plot], [Table("Scores", columns, rows)])


def _plot(values: Mapping[str, Any], kinds: Sequence[str]) -> Plot:
    """Group scores by kind, a bar for each way."""
    bars = {way: [100 * values[kind][way]["group"] for kind in kinds] for way in WAYS}
    drawn = draw_bars(bars, kinds, "Group score", "%", 100 * CHANCE["group"], "guessing")
    return Plot(
        "group", drawn, "Share of the pairs whose images find their captions and whose captions find their images."
    )


def _similarities(subject: Subject, pair: Pair) -> dict[str, Float[np.ndarray, "2 2"]]:
    """The similarity of each caption (rows) and image (columns), by each way."""
    images = [read() for read in pair.read]
    places = [place() for place in pair.place] if pair.place else [subject.model.propose(image) for image in images]
    wholes = subject.wholes(images)
    regions = [one.vectors.float().cpu() for one in subject.vectors(images, places)]
    texts = list(dict.fromkeys([*pair.captions, *(phrase for some in pair.phrases for phrase in some)]))
    vectors = dict(zip(texts, subject.texts(texts), strict=True))
    found = {way: np.zeros((2, 2)) for way in WAYS}
    for row, (caption, phrases) in enumerate(zip(pair.captions, pair.phrases, strict=True)):
        words = torch.stack([vectors[phrase] for phrase in phrases])
        for column, (whole, parts) in enumerate(zip(wholes, regions, strict=True)):
            for way, score in WAYS.items():
                found[way][row, column] = float(
                    score(whole, parts if len(parts) else whole[None], vectors[caption], words)
                )
    return found


def _whole(whole: Float32[Tensor, " d"], regions: Vectors, caption: Float32[Tensor, " d"], words: Vectors) -> Tensor:
    return whole @ caption


def _composed(whole: Float32[Tensor, " d"], regions: Vectors, caption: Float32[Tensor, " d"], words: Vectors) -> Tensor:
    return composed(whole, regions[(words @ regions.mT).argmax(1)], words) @ caption


def _things(whole: Float32[Tensor, " d"], regions: Vectors, caption: Float32[Tensor, " d"], words: Vectors) -> Tensor:
    return (parts_of_regions(regions, words) * words).sum(-1).mean(1).max()


WAYS: Mapping[str, Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]] = {
    "whole": _whole,
    "composed": _composed,
    "things": _things,
}
"""From an image, its regions, a caption and its phrases to a similarity."""


def _of_scenes(swap: str, drawn: SwappedScenes) -> Pair:
    first, second = drawn.scenes
    reads = (lambda: first.image), (lambda: second.image)
    places = (lambda: _true_regions(first)), (lambda: _true_regions(second))
    return Pair(swap, reads, places, drawn.captions, drawn.phrases)


def _true_regions(scene: Scene) -> Regions:
    return Regions.from_masks(np.stack([item.mask for item in scene.objects]))


def _of_record(record: MatchingRecord) -> Pair:
    def reader(path: Path) -> Callable[[], Image]:
        return lambda: read_image(path)

    first, second = record.images
    phrases = [noun_phrases(caption, rule_tags) or (caption,) for caption in record.captions]
    return Pair(record.kind, (reader(first), reader(second)), None, record.captions, (phrases[0], phrases[1]))
