"""What a model of certain words makes of the names of boxes: those that it knows, and those beyond its lexicon.

    python -m densevl.benchmarks.words data/coco/annotations/instances_val2017.json data/coco --vectors PIPELINE

Boxes are cut out with a margin and embedded as whole images; all names are asked for at once. Two ways to read a name
that is not known are compared, both by the word vectors of a spaCy pipeline: the classes nearest to it
(:mod:`densevl.encoders.texts.word_vectors`), and ConSE (Norouzi et al., ICLR 2014), which asks by word vectors alone::

    f(x) = Σ over the T likeliest classes c of p(c|x) w(c) / Σ p(c|x)        score = cosine(f(x), w(name)), T = 10
"""

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor
from tqdm import tqdm

from densevl.api.loading import load
from densevl.core.geometry import Box
from densevl.core.images import read_image, to_tensor
from densevl.core.vocabulary import Vocabulary
from densevl.datasets.regions.annotations import find_image, read_annotations
from densevl.encoders.texts.phrases import key
from densevl.encoders.texts.word_vectors import WordVectors
from densevl.metrics.out_of_distribution import auroc
from densevl.metrics.table import Table

__all__ = ["NamedBoxes", "words_table"]

MARGIN, LEAST, LIKELIEST = 0.15, 1000, 10
"""Margin around a box in its sides; least area of a box in pixels; ConSE's T."""


@dataclass(frozen=True, eq=False)
class NamedBoxes:
    """Boxes as vectors of an encoder.

    Attributes:
        vectors: unit vectors.
        truth: index of the name of each.
        names: all that there are.
    """

    vectors: Float[Tensor, "n d"]
    truth: Sequence[int]
    names: tuple[str, ...]


def read_boxes(encoder: Any, annotations: str | Path, images: str | Path) -> NamedBoxes:
    """The boxes of a file in COCO's format, each embedded by itself.

    Args:
        encoder: of the boxes.
        annotations: the file.
        images: folder of the images, or the one above it.

    Raises:
        ImageError: where an image cannot be read.
        UsageError: where the file cannot be used.
    """
    data = read_annotations(annotations)
    vectors, truth = [], []
    for image in tqdm(data.images, desc="boxes", leave=False, disable=None):
        regions = [one for one in image.regions if _area(one.box) > LEAST]
        pixels = read_image(find_image(image.file_name, Path(images), "val2017")) if regions else None
        for region in regions:
            assert pixels is not None
            vectors.append(encoder.embed_images(to_tensor(_cut(pixels, region.box))[None], "squash")[0])
            truth.append(region.truth)
    return NamedBoxes(torch.stack(vectors), truth, data.texts)


def words_table(boxes: NamedBoxes, source: str = "") -> Table:
    """Boxes that get their name, in per cent: of names that the lexicon knows, and of others.

    Args:
        boxes: of :func:`read_boxes`.
        source: word vectors; empty to leave out what needs them.
    """
    vocabulary = Vocabulary.from_classes(boxes.names)
    lexical = load("photo", device="cpu")
    understood = lexical.read_words(vocabulary, "none")
    assert understood is not None
    known = torch.tensor([name not in understood.unknown for name in boxes.names])
    scores = {"lexicon": _scores(lexical, vocabulary, boxes)}
    if source:
        changes: dict[str, Any] = {"encoder.vectors": source}
        guessing = load("photo", device="cpu", **changes)
        scores["lexicon, and the nearest classes"] = _scores(guessing, vocabulary, boxes)
        scores[f"ConSE, T = {LIKELIEST}"] = _conse(guessing.segmentor.encoder, boxes)
    rows = [(name, _figures(found, boxes, known)) for name, found in scores.items()]
    mine = known[torch.tensor(boxes.truth)]
    head = ["names asked: " + str(len(boxes.names))]
    for kind, count in (("known", int(mine.sum())), ("other", int((~mine).sum()))):
        head += [f"{kind}: top-1 of {count} boxes", "top-5", "AUROC"]
    return Table(tuple(head), rows, f"photo {understood.summary}.")


def _scores(model: Any, vocabulary: Vocabulary, boxes: NamedBoxes) -> Float[Tensor, "n k"]:
    texts = model.segmentor.embed(vocabulary, "none", partly=True)
    return torch.as_tensor(model.segmentor.classifier.fit(texts)(boxes.vectors))


def _conse(encoder: Any, boxes: NamedBoxes) -> Float[Tensor, "n k"]:
    words: WordVectors = encoder.beyond
    weight = encoder.closed_set(["dog"]).weight
    each = (boxes.vectors @ weight.mT / boxes.vectors[:, -1:]).softmax(1)
    likely, index = each.topk(LIKELIEST, dim=1)
    means = F.normalize((likely[:, :, None] * torch.from_numpy(words.classes)[index]).sum(1), dim=1)
    return means @ torch.from_numpy(np.stack([words.of(key(name).split()) for name in boxes.names])).mT


def _figures(scores: Float[Tensor, "n k"], boxes: NamedBoxes, known: Bool[Tensor, " k"]) -> list[float]:
    """Top-1, top-5 and mean AUROC of known names, then of the others; nan for names that have no score."""
    truth = torch.tensor(boxes.truth)
    found: list[float] = []
    ranked = scores.topk(5, dim=1).indices == truth[:, None]
    for kind in (known, ~known):
        mine = kind[truth]
        if not mine.any() or scores[:, kind].isinf().all():
            found += [math.nan] * 3
            continue
        names = [name for name in truth[mine].unique().tolist() if scores[:, name].isfinite().all()]
        curves = [auroc(scores[truth != name, name].numpy(), scores[truth == name, name].numpy()) for name in names]
        found += [100 * ranked[mine, :1].float().sum(1).mean().item(), 100 * ranked[mine].float().sum(1).mean().item()]
        found.append(100 * float(np.mean(curves)))
    return found


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _cut(image: np.ndarray, box: Box) -> np.ndarray:
    """A box with its margin."""
    x0, y0, x1, y1 = box
    across, down = MARGIN * (x1 - x0), MARGIN * (y1 - y0)
    left, top = max(0, int(x0 - across)), max(0, int(y0 - down))
    return image[top : max(top + 1, round(y1 + down)), left : max(left + 1, round(x1 + across))]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the names of boxes that the photo model knows and guesses.")
    parser.add_argument("annotations", help="in COCO's format")
    parser.add_argument("images", help="folder of the images")
    parser.add_argument("--vectors", default="", metavar="PIPELINE", help="package or folder of a spaCy pipeline")
    args = parser.parse_args()
    encoder = load("photo", device="cpu").segmentor.encoder
    print(words_table(read_boxes(encoder, args.annotations, args.images), args.vectors))


if __name__ == "__main__":
    main()
