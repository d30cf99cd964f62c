"""Precision of the first hit of a search: regions of held-out scenes, found by text and by example.

The index holds the regions of all scenes, their true boxes or what the mini SAM proposes. A text query is a description
that is true of some object of these scenes ("red ring", "small red ring", "red ring on sand"), each text once; an
example is the true box of an object of other scenes, and asks for its colour and shape. The first hit is right where it
overlaps an object of which the query is true by more than half.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from densevl.api.loading import load
from densevl.api.model import Model
from densevl.core.errors import UsageError
from densevl.core.features import TextVectors
from densevl.core.geometry import box_ious
from densevl.core.regions import RegionEmbeddings, Regions
from densevl.datasets.scenes import Scene, SceneObject, render
from densevl.datasets.scenes.language import Description
from densevl.metrics.table import Table, mean_percent
from densevl.tasks.search import RegionIndex

__all__ = ["EMBEDDERS", "QUERIES", "Query", "draw_queries", "search_table"]

EMBEDDERS: Mapping[str, Any] = {
    "prompter": None,
    "mask pooling": "mask-pooling",
    "crop": {"type": "marked-images", "visual_prompts": ["crop"]},
}
"""The rows: embedders of the mini CLIP; None for that of the model ``mini``."""

QUERIES, SEED, SIZE, RIGHT = 200, 4, 128, 0.5


@dataclass(frozen=True)
class Query:
    """A query and the objects that it is true of.

    Attributes:
        text: in words, also of an example.
        kind: ``name``, ``size`` or ``ground``.
        matches: of which objects it is true.
        scene: of the example; None for a query in words.
        box: of the example.
    """

    text: str
    kind: str
    matches: Callable[[SceneObject], bool]
    scene: int | None = None
    box: tuple[int, int, int, int] | None = None


def search_table(scenes: int) -> Table:
    """Measure the table.

    Args:
        scenes: number of held-out scenes in the index; 60 have about 180 objects.

    Raises:
        UsageError: where there are too few scenes for 200 different texts.
    """
    drawn = [render(SEED, index, SIZE, "val") for index in range(scenes)]
    others = [render(SEED + 1, index, SIZE, "val") for index in range(2 * QUERIES)]
    texts, examples = draw_queries(drawn), draw_examples(drawn, others)
    maker: Any = load("mini", device="cpu", lazy=True).mask_maker
    true = [Regions.from_boxes([item.box for item in scene.objects], scene.labels.shape) for scene in drawn]
    proposed = [maker.everything(scene.image) for scene in tqdm(drawn, desc="proposals", disable=None)]
    figures, notes = [], {}
    for name, embedder in tqdm(EMBEDDERS.items(), desc="embedders", disable=None):
        model = load("mini", device="cpu", lazy=True, **({"embedder": embedder} if embedder else {}))
        words = model.embed_texts([query.text for query in texts])
        alike, row = _examples(model, others, examples), []
        for regions in (true, proposed):
            embedded = model.embed([scene.image for scene in drawn], regions)
            index = RegionIndex.of([str(place) for place in range(scenes)], regions, embedded)
            hits = _first_right(index, drawn, words, texts)
            row += [mean_percent(hits), mean_percent(_first_right(index, drawn, alike, examples))]
            notes[name, regions is true] = hits
        figures.append((name, row))
    chances = [
        [_chance(drawn, found, query.matches) for query in queries]
        for found in (true, proposed)
        for queries in (texts, examples)
    ]
    figures.append(("chance", [100 * float(np.mean(values)) for values in chances]))
    figures.append(("any region is right", [mean_percent([value > 0 for value in values]) for values in chances]))
    head = (
        "first hit is right",
        "true boxes, text",
        "true boxes, example",
        f"{maker.name}, text",
        f"{maker.name}, example",
    )
    return Table(head, figures, _note(drawn, texts, examples, notes, proposed))


def draw_queries(scenes: Sequence[Scene]) -> list[Query]:
    """Different texts, each true of an object of the scenes; which ones is drawn by seed.

    Raises:
        UsageError: where the scenes have too few objects for so many.
    """
    found: dict[str, Query] = {}
    for item in (item for scene in scenes for item in scene.objects):
        kinds = {"name": Description(item.shape, item.colour)}
        if item.size != "medium":
            kinds["size"] = Description(item.shape, item.colour, item.size)
        if item.settled:
            kinds["ground"] = Description(item.shape, item.colour, None, item.ground)
        for kind, description in kinds.items():
            found.setdefault(str(description), Query(str(description), kind, description.matches))
    if len(found) < QUERIES:
        raise UsageError(f"{len(scenes)} scenes have {len(found)} different texts; take more, for {QUERIES} of them")
    order = np.random.default_rng(SEED).permutation(sorted(found))
    return [found[text] for text in order[:QUERIES].tolist()]


def draw_examples(scenes: Sequence[Scene], others: Sequence[Scene]) -> list[Query]:
    """Objects of other scenes, one of a scene, whose colour and shape some object of the scenes has."""
    names = {item.name for scene in scenes for item in scene.objects}
    examples: list[Query] = []
    for place, scene in enumerate(others):
        item = next((item for item in scene.objects if item.name in names), None)
        if item is not None and len(examples) < QUERIES:
            matches = Description(item.shape, item.colour).matches
            examples.append(Query(item.name, "name", matches, place, item.box))
    return examples


def _examples(model: Model, others: Sequence[Scene], queries: Sequence[Query]) -> RegionEmbeddings:
    scenes = [others[query.scene or 0] for query in queries]
    pairs = zip(queries, scenes, strict=True)
    regions = [Regions.from_boxes([query.box], scene.labels.shape) for query, scene in pairs]
    embedded = model.embed([scene.image for scene in scenes], regions)
    return RegionEmbeddings(torch.cat([one.vectors for one in embedded]), embedded[0].model_id)


def _first_right(
    index: RegionIndex, scenes: Sequence[Scene], vectors: TextVectors | RegionEmbeddings, queries: Sequence[Query]
) -> list[bool]:
    """True for each query whose first hit is right."""
    return [_right(scenes, hits, query) for hits, query in zip(index.search(vectors, 1), queries, strict=True)]


def _right(scenes: Sequence[Scene], hits: Sequence[Any], query: Query) -> bool:
    return bool(hits) and _fits(scenes[int(hits[0].image.path)], hits[0].box, query.matches)


def _fits(scene: Scene, box: Sequence[int | float], matches: Callable[[SceneObject], bool]) -> bool:
    return bool((box_ious([item.box for item in scene.objects if matches(item)], box) > RIGHT).any())


def _chance(scenes: Sequence[Scene], regions: Sequence[Regions], matches: Callable[[SceneObject], bool]) -> float:
    """Fraction of all regions that would be right."""
    pairs = [(scene, box) for scene, found in zip(scenes, regions, strict=True) for box in found.boxes.tolist()]
    return sum(_fits(scene, box, matches) for scene, box in pairs) / len(pairs)


def _note(
    scenes: Sequence[Scene],
    texts: Sequence[Query],
    examples: Sequence[Query],
    hits: Mapping[tuple[str, bool], Sequence[bool]],
    proposed: Sequence[Regions],
) -> str:
    own, objects = hits["prompter", False], sum(len(scene.objects) for scene in scenes)
    kinds = {
        kind: [hit for hit, query in zip(own, texts, strict=True) if query.kind == kind]
        for kind in ("name", "size", "ground")
    }
    by_kind = ", ".join(f"{kind} {mean_percent(found):.1f} of {len(found)}" for kind, found in kinds.items() if found)
    return (
        f"{len(texts)} texts, each once, and {len(examples)} examples from other scenes; {len(scenes)} held-out scenes "
        f"of {SIZE} px (seed {SEED}) with {objects} objects, {sum(map(len, proposed))} proposals; right above IoU "
        f"{RIGHT} with an object of which the query is true. Prompter, proposals, text, by kind: {by_kind}."
    )
