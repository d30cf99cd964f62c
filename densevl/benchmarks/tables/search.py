"""Whether the first hit of a search is right: regions of held-out scenes asked for by text and by example.

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

from densevl.api.model_parts import ModelParts
from densevl.api.models import model_entry
from densevl.core.errors import UsageError
from densevl.core.features import TextVectors
from densevl.core.geometry import box_ious
from densevl.core.regions import RegionEmbeddings, Regions
from densevl.datasets.scenes import Scene, SceneObject, render
from densevl.datasets.scenes.language import Description
from densevl.metrics.table import Table
from densevl.regions.mask_makers.cache import CachedMasks
from densevl.tasks.search import RegionIndex

__all__ = ["QUERIES", "WAYS", "Query", "draw_queries", "rows"]

WAYS: Mapping[str, Any] = {
    "prompter": None,
    "mask pooling": "mask-pooling",
    "crop": {"type": "marked-images", "visual_prompts": ["crop"]},
}
"""The rows: embedders of the mini CLIP; None for that of the model ``mini``."""

QUERIES, SEED, SIZE, RIGHT = 200, 4, 128, 0.5


@dataclass(frozen=True)
class Query:
    """What is asked and what it is true of.

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


def rows(scenes: int) -> Table:
    """Measure the table.

    Args:
        scenes: number of held-out scenes in the index; 60 have about 180 objects.

    Raises:
        UsageError: where there are too few scenes for 200 different texts.
    """
    drawn = [render(SEED, index, SIZE, "val") for index in range(scenes)]
    others = [render(SEED + 1, index, SIZE, "val") for index in range(2 * QUERIES)]
    texts, examples = draw_queries(drawn), draw_examples(drawn, others)
    maker = CachedMasks(ModelParts(model_entry("mini"), torch.device("cpu")).mask_maker)
    true = [Regions.from_boxes([item.box for item in scene.objects], scene.labels.shape) for scene in drawn]
    proposed = [maker.everything(scene.image) for scene in tqdm(drawn, desc="proposals", disable=None)]
    figures, notes = [], {}
    for way, embedder in tqdm(WAYS.items(), desc="embedders", disable=None):
        parts = ModelParts(
            model_entry("mini"), torch.device("cpu"), overrides={"embedder": embedder} if embedder else {}
        )
        asked, alike, row = _texts(parts, texts), _examples(parts, maker, others, examples), []
        for regions in (true, proposed):
            index = _indexed(parts, drawn, [_masked(parts, maker, *pair) for pair in zip(drawn, regions, strict=True)])
            hits = _first_right(index, drawn, asked, texts)
            row += [_percent(hits), _percent(_first_right(index, drawn, alike, examples))]
            notes[way, regions is true] = hits
        figures.append((way, row))
    chances = [
        [_share(drawn, found, query.matches) for query in asked]
        for found in (true, proposed)
        for asked in (texts, examples)
    ]
    figures.append(("chance", [100 * float(np.mean(shares)) for shares in chances]))
    figures.append(("any region is right", [_percent([share > 0 for share in shares]) for shares in chances]))
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


def _masked(parts: ModelParts, maker: CachedMasks, scene: Scene, regions: Regions) -> Regions:
    """The regions with masks where the embedder cannot do without."""
    if regions.masks is not None or not parts.embedder.needs_masks:
        return regions
    return regions.with_masks(maker.from_boxes(scene.image, regions.boxes))


@torch.inference_mode()
def _indexed(parts: ModelParts, scenes: Sequence[Scene], regions: Sequence[Regions]) -> RegionIndex:
    """The regions of all scenes by the numbers of these."""
    some = [place for place, found in enumerate(regions) if len(found)]
    embedded = [parts.embedder.embed(scenes[place].image, regions[place]) for place in some]
    return RegionIndex.of([str(place) for place in some], [regions[place] for place in some], embedded)


@torch.inference_mode()
def _texts(parts: ModelParts, queries: Sequence[Query]) -> TextVectors:
    encoder, texts = parts.embedder.encoder, tuple(query.text for query in queries)
    return TextVectors(encoder.embed_texts(texts, parts.templates), texts, encoder.model_id)


@torch.inference_mode()
def _examples(
    parts: ModelParts, maker: CachedMasks, others: Sequence[Scene], queries: Sequence[Query]
) -> RegionEmbeddings:
    vectors = []
    for query in queries:
        scene = others[query.scene or 0]
        region = _masked(parts, maker, scene, Regions.from_boxes([query.box], scene.labels.shape))
        vectors.append(parts.embedder.embed(scene.image, region).vectors)
    return RegionEmbeddings(torch.cat(vectors), parts.embedder.encoder.model_id)


def _first_right(
    index: RegionIndex, scenes: Sequence[Scene], vectors: TextVectors | RegionEmbeddings, queries: Sequence[Query]
) -> list[bool]:
    """Whether the first hit of each query is right."""
    return [_right(scenes, hits, query) for hits, query in zip(index.search(vectors, 1), queries, strict=True)]


def _right(scenes: Sequence[Scene], hits: Sequence[Any], query: Query) -> bool:
    return bool(hits) and _fits(scenes[int(hits[0].image.path)], hits[0].box, query.matches)


def _fits(scene: Scene, box: Sequence[int | float], matches: Callable[[SceneObject], bool]) -> bool:
    return bool((box_ious([item.box for item in scene.objects if matches(item)], box) > RIGHT).any())


def _share(scenes: Sequence[Scene], regions: Sequence[Regions], matches: Callable[[SceneObject], bool]) -> float:
    """Share of all regions that would be right."""
    pairs = [(scene, box) for scene, found in zip(scenes, regions, strict=True) for box in found.boxes.tolist()]
    return sum(_fits(scene, box, matches) for scene, box in pairs) / len(pairs)


def _percent(values: Sequence[bool]) -> float:
    return 100 * sum(values) / len(values)


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
    by_kind = ", ".join(f"{kind} {_percent(found):.1f} of {len(found)}" for kind, found in kinds.items() if found)
    return (
        f"{len(texts)} texts, each once, and {len(examples)} examples from other scenes; {len(scenes)} held-out scenes "
        f"of {SIZE} px (seed {SEED}) with {objects} objects, {sum(map(len, proposed))} proposals; right above IoU "
        f"{RIGHT} with an object of which the query is true. Prompter, proposals, text, by kind: {by_kind}."
    )
