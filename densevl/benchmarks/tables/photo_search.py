"""Photos found by names and by examples with the model ``photo``: how many of the first ten show the thing.

The index holds the regions of all photos. A name that the lexicon knows and that at least three photos show is a query;
so is the largest box of it on each photo, whose own photo then does not count. Each photo counts once, by its best
region. Where fewer than ten photos show a thing, not all of ten can be right: the best possible is printed beside.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from tqdm import tqdm

from densevl.api.loading import load
from densevl.api.model import Model
from densevl.benchmarks.tables.photos import Photo, known_names, read_search_photos
from densevl.core.images import read_image
from densevl.core.regions import RegionEmbeddings, Regions
from densevl.encoders.texts.lexicon import lexicon
from densevl.metrics.table import Table
from densevl.tasks.search import Hit, RegionIndex

__all__ = ["EMBEDDERS", "FIRST", "LEAST_PHOTOS", "photo_search_table", "precision"]

FIRST, LEAST_PHOTOS = 10, 3
"""Photos that are looked at, and photos that must show a thing."""

EMBEDDERS: Mapping[str, Any] = {"the model": None, "mask pooling": "mask-pooling"}
"""Embedders of the regions that the model proposes; None for its own. The first one's figures are shown by name."""

Examples = dict[str, list[tuple[Photo, RegionEmbeddings]]]
"""Of each name, a region on each photo that has a large one."""


def photo_search_table(scenes: int, data: Path | None = None) -> Table:
    """Measure the table.

    Args:
        scenes: not looked at; there is none here.
        data: folder of the photos, see :mod:`densevl.benchmarks.tables.photos`.

    Raises:
        UsageError: where the photos are missing.
    """
    photos = read_search_photos(data)
    names = _queries(photos)
    fresh = [photo for photo in photos if not photo.chosen_on]
    again = [name for name in names if name in _queries(fresh)]
    images = [read_image(photo.path) for photo in photos]
    maker: Any = load("photo", device="cpu", lazy=True).mask_maker
    proposed = [maker.everything(image) for image in tqdm(images, desc="proposals", disable=None)]
    rows: list[tuple[str, list[float]]] = []
    means, note = [], ""
    for embedder, changes in EMBEDDERS.items():
        model = load("photo", device="cpu", lazy=True, **({} if changes is None else {"embedder": changes}))
        index, largest = _embedded(model, photos, images, proposed, names)
        found = {name: _both(model, index, photos, name, largest[name]) for name in names}
        unused = index.only([str(photo.path) for photo in fresh])
        held = {name: _both(model, unused, fresh, name, largest[name]) for name in again}
        if not rows:
            rows = [(name, [_count(photos, name), *found[name], *_bounds(photos, name)]) for name in names]
            note = f"{len(photos)} photos, {sum(map(len, proposed))} regions, {index.model_id}"
        means.append((embedder, [*_mean(found), *_mean(held)]))
    bounds = [
        _mean({name: _bounds(some, name) for name in wanted}) for some, wanted in ((photos, names), (fresh, again))
    ]
    for place, name in enumerate(("best possible", "chance")):
        means.append((name, [bounds[0][place]] * 2 + [bounds[1][place]] * 2))
    summary = Table(
        ("mean over names", "by name", "by example", "by name, photos not chosen on", "by example, likewise"),
        means,
        f"{len(names)} names on {len(photos)} photos; {len(again)} names on the {len(fresh)} not chosen on.",
    )
    head = ("precision at 10", "photos", "by name", "by example", "best possible", "chance")
    return Table(head, rows, f"{note}; each photo counts once.", [summary])


def precision(hits: Sequence[Hit], photos: Mapping[str, Photo], name: str, own: Path | None = None) -> float:
    """Percentage of the first ten photos that show a thing, its own photo left out."""
    others = [hit.image.path for hit in hits if own is None or hit.image.path != str(own)][:FIRST]
    return 100 * sum(name in photos[path].names for path in others) / FIRST


def _queries(photos: Sequence[Photo]) -> list[str]:
    counted = [name for name in photos[0].vocabulary if _count(photos, name) >= LEAST_PHOTOS] if photos else []
    return known_names(counted, lexicon())


def _count(photos: Sequence[Photo], name: str) -> float:
    return float(sum(name in photo.names for photo in photos))


def _bounds(photos: Sequence[Photo], name: str) -> list[float]:
    """The best that is possible, and what chance gives."""
    return [100 * min(1, _count(photos, name) / FIRST), 100 * _count(photos, name) / len(photos)]


def _mean(found: Mapping[str, Sequence[float]]) -> list[float]:
    values = torch.tensor([list(figures) for figures in found.values()], dtype=torch.float64)
    return list(values.nanmean(0).tolist()) if len(values) else [float("nan")] * 2


def _embedded(
    model: Model,
    photos: Sequence[Photo],
    images: Sequence[UInt8[np.ndarray, "_ _ 3"]],
    proposed: Sequence[Regions],
    names: Sequence[str],
) -> tuple[RegionIndex, Examples]:
    """An index of the regions of all photos, and the largest thing of each name on each photo, as examples."""
    vectors: list[RegionEmbeddings] = []
    examples: Examples = {name: [] for name in names}
    for photo, image, regions in zip(tqdm(photos, desc="index", disable=None), images, proposed, strict=True):
        things = {
            thing.name: thing for thing in sorted(photo.large, key=lambda thing: thing.area) if thing.name in names
        }
        vectors += model.embed_regions([image], [regions])
        if things:
            boxes = Regions.from_boxes([thing.box for thing in things.values()], photo.size)
            found = model.embed_regions([image], [boxes])[0]
            for place, name in enumerate(things):
                examples[name].append((photo, found[place : place + 1]))
    paths = [photo.path for photo in photos]
    return RegionIndex.of(paths, [one.with_masks(None) for one in proposed], vectors), examples


def _both(
    model: Model,
    index: RegionIndex,
    photos: Sequence[Photo],
    name: str,
    examples: Sequence[tuple[Photo, RegionEmbeddings]],
) -> list[float]:
    """Precision by name, and the mean of that by each example."""
    by_path = {str(photo.path): photo for photo in photos}
    (hits,) = index.search(model.embed_texts([name]), FIRST, per_image=1)
    figures = [
        precision(index.search(vector, FIRST + 1, per_image=1)[0], by_path, name, photo.path)
        for photo, vector in examples
        if str(photo.path) in by_path
    ]
    return [precision(hits, by_path, name), sum(figures) / len(figures) if figures else float("nan")]
