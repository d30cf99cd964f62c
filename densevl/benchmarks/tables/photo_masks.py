"""Label maps of photos by the model ``photo``: each step from its raw maps to what it does, on photos of COCO.

The rule. Photos of ``coco/annotations/instances_val2017.json`` that show some object are sorted by id; on the first,
third, … all settings were chosen, and figures are reported on the second, fourth, …. Of each photo the names of its
objects are asked that the lexicon knows well, and "none of these"; pixels of other objects are none of these. Where
masks overlap, the smaller one is on top; crowds count. The label map is compared in the photo's own size, and
intersection over union is that of all photos of a half together: its mean over the names that have more than 20,000
pixels in this half, over all names, and that of none of these.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from tqdm import tqdm

from densevl.api.loading import load
from densevl.benchmarks.tables.photos import instances, known_names
from densevl.core.images import read_image
from densevl.core.masks import decode_masks, mask_of
from densevl.core.vocabulary import Vocabulary
from densevl.encoders.texts.lexicon import lexicon
from densevl.metrics.confusion import confusion_matrix, scores_of
from densevl.metrics.table import Table
from densevl.tasks.segmentation.segmentor import Segmentor

__all__ = ["STEPS", "LabelledPhoto", "photo_masks_table", "read_labelled_photos"]

LARGE = 20_000
"""Pixels of a half that a name has more than to count as large."""

DENSE: Mapping[str, Any] = {"blend": None, "classifier.others": 0.02}
RAW = {**DENSE, "refiners": [], "stages": []}

STEPS: Mapping[str, Mapping[str, Any]] = {
    "raw maps, short side 448": {**RAW, "short_side": 448, "classifier.count": "sum", "classifier.others": 1},
    "everything else counts little": {**RAW, "short_side": 448, "classifier.count": "sum"},
    "short side 320": {**RAW, "classifier.count": "sum"},
    "names by their likeliest class": RAW,
    "patches of 8 pixels": {**DENSE, "stages": []},
    "these, and appearance": DENSE,
    "patches and regions": {"stages": []},
    "regions and appearance: the model": {},
}
"""The rows: changes of the model, from its raw maps to none."""


@dataclass(frozen=True, eq=False)
class LabelledPhoto:
    """A photo and its truth.

    Attributes:
        image: RGB.
        names: what is asked of it.
        truth: index among ``names`` of each pixel, behind the last one where it shows none of them.
    """

    image: UInt8[np.ndarray, "H W 3"]
    names: tuple[str, ...]
    truth: Int64[Tensor, "H W"]

    def count(self, labels: Tensor, vocabulary: Vocabulary, names: Sequence[str]) -> Int64[Tensor, "k k"]:
        """The confusion matrix of its pixels, of the names and "none of these" behind them.

        Args:
            labels: of its pixels.
            vocabulary: what they stand for.
            names: of all photos.
        """
        places = [*(names.index(name) for name in self.names), len(names)]
        given = [
            len(names) if label == vocabulary.background else names.index(name)
            for label, name in enumerate(vocabulary.names)
        ]
        return confusion_matrix(torch.tensor(places)[self.truth], torch.tensor(given)[labels.cpu()], len(names) + 1)


def photo_masks_table(scenes: int, data: Path | None = None) -> Table:
    """Measure the table.

    Args:
        scenes: not used; the photos are those of the folder.
        data: folder that holds ``coco/``.

    Raises:
        UsageError: where there is none, or a file of it is missing or of another format.
        ImageError: where a photo cannot be read.
    """
    photos = read_labelled_photos(data)
    names = tuple(sorted({name for photo in photos for name in photo.names}))
    rows, halves = [], []
    for title, changes in tqdm(STEPS.items(), desc="steps", disable=None):
        model = load("photo", device="cpu", **changes)
        assert isinstance(model.segmentor, Segmentor)
        matrices, milliseconds = measure_photos(model.segmentor, photos, names)
        halves = [_figures(matrix, names) for matrix in matrices]
        rows.append((title, [value for figures in reversed(halves) for value in figures[:3]] + [milliseconds]))
    own = ("large names", "all names", "none of these")
    head = ("IoU", *(f"{half}{name}" for half in ("", "chosen on: ") for name in own), "ms a photo")
    return Table(head, rows, _note(photos, halves))


def read_labelled_photos(data: Path | None) -> list[LabelledPhoto]:
    """The photos that show some object, sorted by id.

    Raises:
        UsageError: where there is no folder, or a file of it is missing or of another format.
        ImageError: where a photo cannot be read.
    """
    shown, called = instances(data)
    assert data is not None
    folder, known = data / "coco" / "val2017", set(known_names(list(called.values()), lexicon()))
    return [_labelled(folder / image["file_name"], found, called, known) for image, found in shown if found]


def _labelled(
    path: Path, annotations: Sequence[Mapping[str, Any]], called: Mapping[Any, str], known: set[str]
) -> LabelledPhoto:
    image = read_image(path)
    size = image.shape[:2]
    names = tuple(sorted({called[entry["category_id"]] for entry in annotations} & known))
    truth = torch.full(size, len(names))
    for entry in sorted(annotations, key=lambda entry: -entry["area"]):
        code, name = mask_of(entry["segmentation"], size), called[entry["category_id"]]
        if code is not None:
            truth[decode_masks([code], size)[0]] = names.index(name) if name in names else len(names)
    return LabelledPhoto(image, names, truth)


def measure_photos(
    segmentor: Segmentor, photos: Sequence[LabelledPhoto], names: Sequence[str]
) -> tuple[list[Int64[Tensor, "k k"]], float]:
    """The confusion matrices of both halves, and the median of milliseconds of processor time a photo.

    Args:
        segmentor: of the step.
        photos: every other one belongs to the half that settings were chosen on, the first one too.
        names: of all photos.
    """
    matrices, times = [torch.zeros(len(names) + 1, len(names) + 1, dtype=torch.int64) for _ in range(2)], []
    for place, photo in enumerate(photos):
        if not photo.names:  # nothing is asked, and all of it is none of these
            matrices[place % 2][-1, -1] += photo.truth.numel()
            continue
        texts = segmentor.embed(Vocabulary.from_classes(photo.names))
        start = time.process_time()
        (encoded,) = segmentor.encode([photo.image])
        labels, _ = segmentor.label(encoded, texts)
        times.append(1000 * (time.process_time() - start))
        matrices[place % 2] += photo.count(labels, texts.vocabulary, names)
    return matrices, median(times)


def _figures(matrix: Int64[Tensor, "k k"], names: Sequence[str]) -> tuple[float, float, float, int, int]:
    """mIoU of large names, of all names, IoU of none of these, and how many names are large, and there at all."""
    scores = scores_of(matrix, [*names, "none"])
    iou, pixels = scores.iou[:-1], scores.pixels[:-1]
    large, there = pixels > LARGE, pixels > 0
    means = (iou[large].mean().item(), iou[there].mean().item(), scores.iou[-1].item())
    return *means, int(large.sum()), int(there.sum())


def _note(photos: Sequence[LabelledPhoto], halves: Sequence[tuple[float, float, float, int, int]]) -> str:
    (*_, chosen_large, chosen_all), (*_, large, there) = halves
    return (
        f"Photos of COCO, names of the picture and none of these: {len(photos) // 2} photos are reported, with "
        f"{there} names of which {large} have more than {LARGE:,} pixels; {len(photos) - len(photos) // 2} others are "
        f"those that settings were chosen on ({chosen_all} and {chosen_large}). Milliseconds: median processor "
        "time of encoding and labelling a photo of 640×480 pixels or so."
    )
