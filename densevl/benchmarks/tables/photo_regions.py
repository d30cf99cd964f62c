"""Names of boxes on photos, and expressions that mean one of them, by the model ``photo``.

Boxes: those of things over 1000 pixels whose name the lexicon knows. All of these names are asked at once, of each box
by itself, and the probability of a name is that of the classes that it covers. Each row adds one thing to the crop.

Expressions: "the NAME" of a box whose name is there once, among all large boxes of its photo; "the left NAME" and "the
right NAME" where it is there twice; and "the NAME" among regions of the model's own, right from an IoU of 0.5.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from tqdm import tqdm

from densevl.api.loading import load
from densevl.api.model import Model
from densevl.benchmarks.tables.photos import LEAST, Photo, Thing, known_names, read_photos
from densevl.classifiers.closed_set import ClosedSetClassifier
from densevl.core.features import TextEmbeddings
from densevl.core.geometry import box_ious
from densevl.core.images import read_image
from densevl.core.regions import Regions
from densevl.core.vocabulary import Vocabulary
from densevl.encoders.photo import PhotoEncoder
from densevl.encoders.texts.lexicon import lexicon
from densevl.metrics.table import Table, mean_percent
from densevl.regions.embedders.marked_images import MarkedImages
from densevl.tasks.grounding.scoring import fit_temperature

__all__ = ["CROPS", "meant_boxes", "photo_regions_table"]

CROPS: Mapping[str, Mapping[str, Any] | None] = {
    "crop with 15 % margin, squashed to 224 px": {
        "visual_prompts": ["crop"],
        "style": {"margin": 0.15},
        "size": 224,
        "mode": "keep",
    },
    "square with its surroundings, 224 px": {"visual_prompts": ["square"], "size": 224, "mode": "keep"},
    "square, 192 px": {"visual_prompts": ["square"], "size": 192, "mode": "keep"},
    "square, 192 px, grey round the box": {"visual_prompts": ["square_flat"], "size": 192, "mode": "keep"},
    "both squares: the model": None,
}
"""The rows: settings of the region embedder; None for the model's own."""

CONTEXT = 0.2
"""Weight of the photo's own classes in the last row of boxes."""

RIGHT = 0.5
"""IoU from which a region is the one that is meant."""


def photo_regions_table(scenes: int, data: Path | None = None) -> Table:
    """Measure the tables.

    Args:
        scenes: not looked at; there is none here.
        data: folder of the photos, see :mod:`densevl.benchmarks.tables.photos`.

    Raises:
        UsageError: where the photos are missing.
    """
    photos = read_photos(data)
    model = load("photo", device="cpu", lazy=True, mask_maker=None)
    return _boxes(photos, model, [_referring(photos, model)])


def _boxes(photos: Sequence[Photo], model: Model, further: Sequence[Table]) -> Table:
    names = known_names(photos[0].vocabulary if photos else (), lexicon())
    asked = [(photo, [thing for thing in photo.large if thing.name in names]) for photo in photos]
    asked = [(photo, things) for photo, things in asked if things]
    labels = torch.tensor([names.index(thing.name) for _, things in asked for thing in things])
    chosen = torch.tensor([photo.chosen_on for photo, things in asked for _ in things])
    encoder: Any = model.embedder.encoder
    classifier = _classifier(encoder, names)
    rows, logits = [], torch.zeros(0)
    for name, settings in tqdm(CROPS.items(), desc="crops", disable=None):
        embedder: Any = model.embedder if settings is None else MarkedImages(encoder, **settings)
        vectors = [
            embedder.embed(read_image(photo.path), Regions.from_boxes([t.box for t in things], photo.size)).vectors
            for photo, things in tqdm(asked, desc=name, leave=False, disable=None)
        ]
        logits = classifier(torch.cat(vectors))
        rows.append((name, _figures(logits, labels, chosen)))
    whole = []
    for photo, things in asked:
        embedded = model.embedder.embed(read_image(photo.path), Regions.whole(photo.size))
        whole.append(classifier(embedded.vectors).expand(len(things), -1))
    context = logits + CONTEXT * torch.cat(whole)
    rows.append((f"and the classes of the whole photo, weight {CONTEXT}", _figures(context, labels, chosen)))
    rows.append(("chance", [100 / len(names)] * 3 + [500 / len(names), 100 / len(names)]))
    head = ("name is right", "choosing half", "reporting half", "all", "reporting, top 5", "reporting, mean of names")
    note = (
        f"{len(labels)} boxes over {LEAST} px of {len(labels.unique())} names on {len(asked)} photos, {len(names)} "
        f"names asked at once; {int(chosen.sum())} boxes are on photos on which settings were chosen. Model photo, "
        f"{encoder.model_id}."
    )
    return Table(head, rows, note, further)


def _classifier(encoder: PhotoEncoder, names: Sequence[str]) -> ClosedSetClassifier:
    vocabulary = Vocabulary.of(list(names))
    queries = torch.arange(len(names))
    vectors, known = encoder.embed_texts(list(names)), encoder.closed_set(list(names))
    return ClosedSetClassifier(TextEmbeddings(vectors, queries, vocabulary, encoder.model_id, "none", closed_set=known))


def _figures(logits: Float[Tensor, "n k"], labels: Int[Tensor, " n"], chosen: Bool[Tensor, " n"]) -> list[float]:
    order = logits.argsort(dim=1, descending=True, stable=True)
    first, five = order[:, 0] == labels, (order[:, :5] == labels[:, None]).any(1)
    names = [mean_percent(first[~chosen & (labels == name)].tolist()) for name in labels[~chosen].unique()]
    parts = [first[chosen], first[~chosen], first, five[~chosen]]
    return [*(mean_percent(part.tolist()) for part in parts), sum(names) / len(names) if names else float("nan")]


def _referring(photos: Sequence[Photo], model: Model) -> Table:
    """Accuracy of expressions; the temperature of the probabilities is fitted on the choosing half."""
    rows: dict[str, list[tuple[bool, bool, float]]] = {name: [] for name in ("the NAME", "the left / right NAME")}
    own: list[tuple[bool, bool, float]] = []
    scores, targets = [], []
    proposing = load("photo", device="cpu", lazy=True)
    for photo in tqdm(photos, desc="expressions", disable=None):
        asked = list(meant_boxes(photo))
        if not asked:
            continue
        image = read_image(photo.path)
        boxes = Regions.from_boxes([thing.box for thing in photo.large], photo.size)
        encoded = model.encode_regions(image, boxes)
        for text, kind, target in asked:
            found = model.refer(encoded, text)
            rows[kind].append((photo.chosen_on, found.best == target, 1 / len(boxes)))
            if photo.chosen_on and kind == "the NAME":
                scores.append(found.scores)
                targets.append(target)
        single = [(text, target) for text, kind, target in asked if kind == "the NAME"]
        if single and not photo.chosen_on:
            regions = proposing.encode_regions(image)
            for text, target in single:
                ious = torch.from_numpy(box_ious(regions.regions.boxes.tolist(), photo.large[target].box))
                right = ious >= RIGHT
                own.append((False, bool(right[proposing.refer(regions, text).best]), float(right.float().mean())))
    figures = []
    for name, answers in [*rows.items(), ("the NAME, regions of its own", own)]:
        halves = [[answer for answer in answers if answer[0]], [answer for answer in answers if not answer[0]]]
        found_of = [mean_percent([right for _, right, _ in some]) for some in (*halves, answers)]
        figures.append((name, [*found_of, mean_percent([chance for *_, chance in answers]), float(len(answers))]))
    temperature = fit_temperature(scores, torch.tensor(targets)) if scores else float("nan")
    note = (
        f"Among all boxes over {LEAST} px of a photo; an IoU of {RIGHT} with regions of its own, on the reporting half "
        f"alone. Temperature fitted on the choosing half: {temperature:.2f}."
    )
    return Table(
        ("expression is right", "choosing half", "reporting half", "all", "chance", "expressions"), figures, note
    )


def meant_boxes(photo: Photo) -> list[tuple[str, str, int]]:
    """Expressions, their kinds, and the places among the large things of those that they mean."""
    if len(photo.large) < 2:
        return []
    found = []
    for name in dict.fromkeys(thing.name for thing in photo.large):
        places = [place for place, thing in enumerate(photo.large) if thing.name == name]
        everywhere = sum(thing.name == name for thing in photo.things)
        if not known_names([name], lexicon()) or everywhere != len(places):
            continue  # a small one of the same name would be meant too
        if len(places) == 1:
            found.append((f"the {name}", "the NAME", places[0]))
        elif len(places) == 2:
            left, right = sorted(places, key=lambda place: _middle(photo.large[place]))
            found += [(f"the left {name}", "the left / right NAME", left)]
            found += [(f"the right {name}", "the left / right NAME", right)]
    return found


def _middle(thing: Thing) -> float:
    return thing.box[0] + thing.box[2]
