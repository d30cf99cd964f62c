"""Searching an index and showing what was found: hits cut out of their images, outlined, on one sheet."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Bool, UInt8

from densevl.api.jobs.labelled import LabelledIndex
from densevl.api.model import Model
from densevl.classifiers.classes import Classes
from densevl.classifiers.contracts import check_classifier
from densevl.classifiers.text import TextClassifier
from densevl.core.drawing.lettering import letter
from densevl.core.drawing.overlay import write_image
from densevl.core.drawing.sheets import Tile, tile_sheet
from densevl.core.errors import ImageError, UsageError
from densevl.core.features import TextEmbeddings
from densevl.core.images import read_image
from densevl.core.inputs import open_input
from densevl.core.masks import decode_masks
from densevl.core.regions import RegionEmbeddings, Regions
from densevl.core.vocabulary import Vocabulary
from densevl.datasets.examples.example import Example as LabelledExample
from densevl.regions.embedders.embedder import space_of
from densevl.tasks.grounding.expression import parse_expression
from densevl.tasks.search import Hit, RegionIndex
from densevl.tasks.search.composed_ranker import ComposedRanker
from densevl.tasks.search.search import Ranker, search, search_class
from densevl.weights import is_offline

__all__ = ["Example", "SearchJob", "cut_out", "hit_records", "sheet_name", "text_classes"]

SIDE = 176
"""Side of the tiles of a sheet, in pixels."""

CONTEXT = 1.7
"""Side of what a tile shows, as a multiple of the longer side of the hit's box."""

_AND = re.compile(r"\s+and\s+(?:an?|the)\s+")
"""What stands between two things, and not between two colours."""

_LINE, _RIM, _PAPER, _FAINT = (255, 196, 0), (20, 20, 20), 255, 236


@dataclass(frozen=True)
class Example:
    """A region to find more of.

    Attributes:
        path: of its image.
        box: xyxy pixels; None for the whole image.
    """

    path: Path
    box: tuple[float, float, float, float] | None = None

    @cached_property
    def image(self) -> UInt8[np.ndarray, "H W 3"]:
        """The image, decoded once; see :func:`densevl.read_image` for errors."""
        return read_image(self.path)

    @property
    def region(self) -> Regions:
        """The region in its image.

        Raises:
            ImageError: where the image cannot be read.
            UsageError: where the box lies outside the image.
        """
        size = (self.image.shape[0], self.image.shape[1])
        return Regions.whole(size) if self.box is None else Regions.from_boxes([self.box], size)

    def __str__(self) -> str:
        """Its name on a sheet."""
        place = "" if self.box is None else f" ({', '.join(f'{side:g}' for side in self.box)})"
        return f"like {self.path.name}{place}"


class SearchJob:
    """Searches an index with the model that made it.

    Args:
        index: where to look.
        model: embeds the queries.
        ranker: ranks the regions; None for the exact search.
        classes: taught classes; a query that is the name of one is looked for as that class.

    Raises:
        UsageError: where the index or the classes were made by another model.
    """

    def __init__(
        self, index: RegionIndex, model: Model, ranker: Ranker | None = None, classes: Classes | None = None
    ) -> None:
        self.index, self.model, self.ranker = index, model, ranker
        self.classes = None if classes is None else model.bound(classes)
        own = model.embedder.encoder.model_id
        if own != index.model_id:
            raise UsageError(
                f"the index was made by {index.model_id!r} and this model is {own!r}; search with the model of the "
                "index, or embed the images anew"
            )
        if classes is not None:
            check_classifier(classes.head("regions"), own, space_of(model.embedder))

    def by_text(self, texts: Sequence[str], top: int = 20, **limits: Any) -> list[list[Hit]]:
        """The hits of each text; of the name of a taught class those regions that most probably show it.

        Args:
            texts: what to find.
            top: hits of each.
            limits: ``per_image`` and ``overlap``, see :func:`densevl.tasks.search.search.search`.

        Raises:
            UsageError: where a text is blank or too long.
        """
        labels = [None if self.classes is None else self.classes.label(text) for text in texts]
        others = self.texts_of(texts)
        found: Iterator[list[Hit]] = iter(())
        if others:
            found = iter(search(self.index, self.model.embed_texts(others), top, ranker=self.ranker, **limits))
        return [next(found) if label is None else self._of_class(label, top, limits) for label in labels]

    def texts_of(self, queries: Sequence[str]) -> list[str]:
        """The queries that are texts, and not the names of taught classes."""
        return [query for query in queries if self.classes is None or self.classes.label(query) is None]

    def _of_class(self, label: int, top: int, limits: dict[str, Any]) -> list[Hit]:
        assert self.classes is not None
        return search_class(self.index, self.classes.head("regions"), label, top, **limits)

    def by_composition(self, texts: Sequence[str], top: int = 20, **limits: Any) -> list[list[Hit]]:
        """The hits of each text, by the things that it names; see :class:`ComposedRanker`.

        Args:
            texts: what to find; the things are the phrases of an expression, such as "the cup on the plate", and what
                stands on both sides of an "and".
            top: hits of each.
            limits: ``per_image`` and ``overlap``, see :func:`densevl.tasks.search.search.search`.

        Raises:
            UsageError: where a text is blank or too long.
        """
        found = []
        for text in texts:
            words = self.model.embed_texts(list(named_things(text))).vectors
            ranker = ComposedRanker(self.index, words.float().cpu())
            found += search(self.index, self.model.embed_texts([text]), top, ranker=ranker, **limits)
        return found

    def identify(self, example: Example, names: Sequence[LabelledExample]) -> dict[str, Any]:
        """What an example region is by the names of its nearest neighbours; see :class:`LabelledIndex`.

        Raises:
            ImageError: where its image cannot be read.
            UsageError: where its box lies outside the image, or no region of the index gets a name.
        """
        vector: RegionEmbeddings = self.model.embed_regions([example.image], [example.region])[0]
        return LabelledIndex.of(self.index, names).answer(vector)

    def by_example(self, example: Example, top: int = 20, **limits: Any) -> list[Hit]:
        """The hits of an example region; where its own image is in the index, it finds itself.

        Raises:
            ImageError: where its image cannot be read.
            UsageError: where its box lies outside the image, or needs a mask that nothing can make.
        """
        vector: RegionEmbeddings = self.model.embed_regions([example.image], [example.region])[0]
        return search(self.index, vector, top, ranker=self.ranker, **limits)[0]

    @property
    def note(self) -> str:
        """What is searched, in a line."""
        return f"{len(self.index)} regions in {self.index.image_count} images, {self.model.name}"

    def sheet(self, title: str, hits: Sequence[Hit], columns: int = 5) -> tuple[UInt8[np.ndarray, "h w 3"], list[str]]:
        """The hits on one sheet, the best first, and the images that could not be read any more."""
        tiles, missing = [], dict[str, None]()
        for rank, hit in enumerate(hits, 1):
            try:
                image = open_input(hit.image.path, is_offline()).read()
                moved = image.shape[:2] != tuple(hit.image.size)
                tile = _no_image("image has changed") if moved else cut_out(image, hit)
            except (ImageError, UsageError):
                tile, moved = _no_image("image is missing"), True
            if moved:
                missing[hit.image.path] = None
            tiles.append(Tile(tile, f"{rank} · {hit.score:.3f}", Path(hit.image.path).name))
        return tile_sheet(tiles, title if hits else f"{title}: nothing found", self.note, columns), list(missing)

    def write_sheet(self, path: Path, title: str, hits: Sequence[Hit]) -> list[str]:
        """Write the sheet of the hits; returns the images that could not be read any more.

        Raises:
            OutputError: where it cannot be written.
        """
        sheet, missing = self.sheet(title, hits)
        write_image(path, sheet)
        return missing


def text_classes(model: Model, vocabulary: Vocabulary) -> TextClassifier:
    """What takes a region for that class of a vocabulary whose nearest name or synonym is nearest to its vector.

    Raises:
        UsageError: where a name is too long.
    """
    found = model.embed_texts(vocabulary.queries)
    owners = torch.tensor(vocabulary.query_classes)
    return TextClassifier(TextEmbeddings(found.vectors.float().cpu(), owners, vocabulary, found.model_id, "queries"))


def named_things(text: str) -> tuple[str, ...]:
    """The things that a text names, the one that is asked for first.

    Raises:
        UsageError: where the text is empty.
    """
    phrases = parse_expression(text).texts or (text,)
    return tuple(part for phrase in phrases for part in _AND.split(phrase))


def cut_out(picture: UInt8[np.ndarray, "H W 3"], hit: Hit, side: int = SIDE) -> UInt8[np.ndarray, "{side} {side} 3"]:
    """A hit with what lies round it, outlined along its mask where it has one, else along its box; the rest is paler.

    Args:
        picture: the image of the hit.
        hit: what to show.
        side: of the square result in pixels.
    """
    x0, y0, x1, y1 = hit.box
    longer = max(x1 - x0, y1 - y0)
    scale = side / (CONTEXT * longer)
    left, top = (x0 + x1) / 2 - side / scale / 2, (y0 + y1) / 2 - side / scale / 2
    # Pixel centres: (x + 0.5 - left) · scale - 0.5.
    to_tile = np.array([[scale, 0, (0.5 - left) * scale - 0.5], [0, scale, (0.5 - top) * scale - 0.5]])
    near = picture if scale > 1 / 3 else cv2.GaussianBlur(picture, (0, 0), 0.4 / scale)
    smooth = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_LINEAR
    tile = cv2.warpAffine(near, to_tile, (side, side), flags=smooth, borderValue=(_FAINT,) * 3)
    inside = cv2.warpAffine(_shape(hit).astype(np.float32), to_tile, (side, side), flags=cv2.INTER_LINEAR) > 0.5
    grey = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), 1.0)[..., None]
    pale = 0.55 * tile + 0.45 * _PAPER
    tile = np.rint(grey * tile + (1 - grey) * pale).astype(np.uint8)
    outlines, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(tile, outlines, -1, _RIM, 4, cv2.LINE_AA)
    cv2.drawContours(tile, outlines, -1, _LINE, 2, cv2.LINE_AA)
    return tile


def hit_records(hits: Sequence[Hit]) -> list[dict[str, Any]]:
    """The hits as values for JSON, for other programs."""
    return [
        {
            "rank": rank,
            "score": round(hit.score, 6),
            "image": hit.image.path,
            "box": [round(value, 2) for value in hit.box],
            "proposal": hit.proposal,
            **({"mask": {"size": list(hit.image.size), "counts": hit.mask}} if hit.mask else {}),
        }
        for rank, hit in enumerate(hits, 1)
    ]


def _shape(hit: Hit) -> Bool[np.ndarray, "H W"]:
    """The pixels of a hit: its mask, or its box where it has none."""
    height, width = hit.image.size
    if hit.mask:
        return decode_masks([{"size": [height, width], "counts": hit.mask}], (height, width))[0].numpy()
    filled = np.zeros((height, width), bool)
    x0, y0, x1, y1 = (round(value) for value in hit.box)
    filled[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)] = True
    return filled


def _no_image(reason: str) -> UInt8[np.ndarray, "s s 3"]:
    tile = np.full((SIDE, SIDE, 3), _FAINT, np.uint8)
    ink = letter(reason, 13, SIDE - 20)
    y, x = (SIDE - ink.shape[0]) // 2, (SIDE - ink.shape[1]) // 2
    tile[y : y + ink.shape[0], x : x + ink.shape[1]] -= (ink[..., None] // 2).astype(np.uint8)
    return tile


def sheet_name(query: str) -> str:
    """A file name that tells the query."""
    words = re.sub(r"[^\w.]+", "-", query.casefold()).strip("-.")
    return f"{words[:60] or 'query'}.search.png"
