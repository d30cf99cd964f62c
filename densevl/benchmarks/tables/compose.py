"""Captions and queries of two things: how well they are told from the same words the other way round.

Scenes have two objects of different colours and shapes. A *swap* asks which of two captions is true, "a red ring and a
blue square" or "a blue ring and a red square". A *search* asks the regions of all scenes for the true caption of each
scene; the first hit is right where its scene has both objects, and the hit is the one that is named first. Regions are
true masks; the picture is the region of the whole image.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from densevl.api.loading import load
from densevl.api.model import Model
from densevl.core.regions import RegionEmbeddings, Regions
from densevl.datasets.scenes import Scene, render
from densevl.metrics.table import Spread, Table, mean_percent
from densevl.regions.composition import composed, parts_of_regions
from densevl.tasks.search import RegionIndex
from densevl.tasks.search.composed_ranker import ComposedRanker

__all__ = ["compose_table"]

SEEDS, SIZE, TOGETHER = (101, 102, 103), 128, 8
"""Collections of scenes, on which nothing was chosen; side in pixels; scenes that are encoded at once."""


@dataclass(frozen=True, eq=False)
class Asked:
    """A caption of two things.

    Attributes:
        whole: vector of the caption.
        words: vectors of its things.
    """

    whole: Float[Tensor, " d"]
    words: Float[Tensor, "2 d"]


def compose_table(scenes: int) -> Table:
    """Measure the table.

    Args:
        scenes: number of scenes of each seed that are drawn; those of two unlike objects count, about two in three.
    """
    model = load("mini", device="cpu", lazy=True)
    counts, figures = zip(*(_figures(model, seed, scenes) for seed in SEEDS), strict=True)
    nothing = float("nan")
    rows: list[tuple[str, list[float | Spread]]] = []
    for name in figures[0]:
        spread = Spread([one[name] for one in figures])
        rows.append((name, [spread, nothing] if name in SCORES else [nothing, spread]))
    note = (
        f"{', '.join(map(str, counts))} scenes of {SIZE} px (seeds {', '.join(map(str, SEEDS))}) with two objects of "
        "different colours and shapes; mean ± standard deviation of the seeds."
    )
    return Table(("two things, of mini", "caption before its swap", "first hit is right"), rows, note)


def _figures(model: Model, seed: int, scenes: int) -> tuple[int, dict[str, float]]:
    """Number of scenes of a seed that count, and the figures of each row."""
    drawn = [
        scene for scene in (render(seed, index, SIZE, "val", count=(2, 2)) for index in range(scenes)) if _unlike(scene)
    ]
    regions = [Regions.from_masks(np.stack([item.mask for item in scene.objects])) for scene in drawn]
    found, pictures = (
        _embedded(model, drawn, regions),
        _embedded(model, drawn, [Regions.whole((SIZE, SIZE))] * len(drawn)),
    )
    true, swapped = ([_asked(model, scene, swap) for scene in drawn] for swap in (False, True))
    index = RegionIndex.of([str(number) for number in range(len(drawn))], regions, found)
    figures = {}
    for name, score in SCORES.items():
        right = [
            bool(score(picture.vectors[0], own.vectors, one) > score(picture.vectors[0], own.vectors, other))
            for picture, own, one, other in zip(pictures, found, true, swapped, strict=True)
        ]
        figures[name] = mean_percent(right)
    plain = [_first(drawn, index, scene, one, composing=False) for scene, one in zip(drawn, true, strict=True)]
    both = [_first(drawn, index, scene, one, composing=True) for scene, one in zip(drawn, true, strict=True)]
    return len(drawn), {**figures, "search": mean_percent(plain), "search --compose": mean_percent(both)}


def _picture(picture: Float[Tensor, " d"], regions: Float[Tensor, "2 d"], asked: Asked) -> Float[Tensor, ""]:
    return picture @ asked.whole


def _composed(picture: Float[Tensor, " d"], regions: Float[Tensor, "2 d"], asked: Asked) -> Float[Tensor, ""]:
    """The score of ComCLIP, the part of each thing being the region nearest to its words."""
    parts = regions[(asked.words @ regions.mT).argmax(1)]
    return composed(picture, parts, asked.words) @ asked.whole


def _things(picture: Float[Tensor, " d"], regions: Float[Tensor, "2 d"], asked: Asked) -> Float[Tensor, ""]:
    """The mean cosine of the things with their parts, as the search has it, of the better region."""
    return (parts_of_regions(regions, asked.words) * asked.words).sum(-1).mean(1).max()


SCORES: Mapping[str, Callable[[Tensor, Tensor, Asked], Tensor]] = {
    "whole picture": _picture,
    "composed, as ComCLIP": _composed,
    "each thing by itself": _things,
}
"""Scores of a picture for a caption, by the names of their rows."""


def _unlike(scene: Scene) -> bool:
    if len(scene.objects) != 2:
        return False
    first, second = scene.objects
    return first.colour != second.colour and first.shape != second.shape


def _embedded(model: Model, scenes: list[Scene], regions: list[Regions]) -> list[RegionEmbeddings]:
    found: list[RegionEmbeddings] = []
    for start in tqdm(range(0, len(scenes), TOGETHER), desc="regions", disable=None):
        some = slice(start, start + TOGETHER)
        found += model.embed([scene.image for scene in scenes[some]], regions[some])
    return found


def _asked(model: Model, scene: Scene, swap: bool) -> Asked:
    first, second = scene.objects
    colours = (second.colour, first.colour) if swap else (first.colour, second.colour)
    names = [f"{colour} {item.shape}" for colour, item in zip(colours, scene.objects, strict=True)]
    whole, *words = model.embed_texts([f"a {names[0]} and a {names[1]}", *names]).vectors
    return Asked(whole, torch.stack(words))


def _first(scenes: list[Scene], index: RegionIndex, scene: Scene, asked: Asked, composing: bool) -> bool:
    """True where the best region of all scenes is the first thing of a caption, beside the second."""
    if composing:
        ((_, rows),) = ComposedRanker(index, asked.words)(asked.whole[None], 1)
        hit = index.hit(int(rows[0]), 0.0)
    else:
        hit = index.hit(int((index.vectors @ asked.whole).argmax()), 0.0)
    items = scenes[int(hit.image.path)].objects
    own = next(item for item in items if tuple(map(float, item.box)) == hit.box)
    return {item.name for item in items} == {item.name for item in scene.objects} and own.name == scene.objects[0].name
