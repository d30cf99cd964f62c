"""Questions with one right answer: which class is this region, and which class is this pixel?"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from tqdm import tqdm

from densevl.benchmarks.lenses.source import NOTHING, LabelledImage, Source
from densevl.benchmarks.lenses.subject import Subject
from densevl.core.errors import UsageError, suggestion
from densevl.core.vocabulary import Vocabulary, normalised
from densevl.datasets.scenes.grounds import GROUNDS
from densevl.datasets.scenes.scene import CLASSES

__all__ = ["PIXELS", "Asked", "Question", "ask", "question"]

Change = Callable[[UInt8[np.ndarray, "H W 3"], int], UInt8[np.ndarray, "H W 3"]]
"""From an image and its index to what is shown in its place."""

PIXELS = 100_000
"""Pixels that are kept of all images together, at most."""


@dataclass(frozen=True, eq=False)
class Question:
    """What a subject shall be asked.

    Attributes:
        images: with named regions.
        vocabularies: classes to tell apart, by head.
    """

    images: Sequence[LabelledImage]
    vocabularies: Mapping[str, Vocabulary]


@dataclass(frozen=True, eq=False)
class Asked:
    """What a subject says of regions, or of a sample of pixels.

    Attributes:
        logits: whose softmax are the probabilities of the classes.
        labels: true class of each; −1 for a stranger, which is none of them.
        images: index of the image of each.
        weights: of each; pixels count as the area that they stand for.
        names: of the classes.
        head: that was asked.
        doubts: further scores of how little known each is, by name, where they were wanted.
    """

    logits: Float[np.ndarray, "n k"]
    labels: Int[np.ndarray, " n"]
    images: Int[np.ndarray, " n"]
    weights: Float[np.ndarray, " n"]
    names: Sequence[str]
    head: str
    doubts: Mapping[str, Float[np.ndarray, " n"]] = field(default_factory=dict)

    @property
    def probabilities(self) -> Float[np.ndarray, "n k"]:
        """Of each class for each."""
        return torch.from_numpy(self.logits).softmax(1).numpy()

    @property
    def right(self) -> np.ndarray:
        """True where the likeliest class is the true one; never for a stranger."""
        return np.asarray(self.logits.argmax(1) == self.labels)

    @property
    def accuracy(self) -> float:
        """Fraction of the known that is right; nan where there is none."""
        known = self.labels >= 0
        return float(np.average(self.right[known], weights=self.weights[known])) if known.any() else float("nan")

    @property
    def mean_iou(self) -> float:
        """Mean over the classes of intersection over union, of what is labelled; nan where nothing is."""
        known, count = self.labels >= 0, len(self.names)
        places = self.labels[known] * count + self.logits[known].argmax(1)
        matrix = np.bincount(places, self.weights[known], count * count).reshape(count, count)
        occurs, right = matrix.sum(1) > 0, matrix.diagonal()
        unions = matrix.sum(0) + matrix.sum(1) - right
        return float((right[occurs] / unions[occurs]).mean()) if occurs.any() else float("nan")

    def chosen(self, kept: np.ndarray) -> "Asked":
        """Those where it is true."""
        return replace(
            self,
            logits=self.logits[kept],
            labels=self.labels[kept],
            images=self.images[kept],
            weights=self.weights[kept],
            doubts={name: values[kept] for name, values in self.doubts.items()},
        )


def question(lens: str, subject: Subject, source: Source, **drawing: Any) -> Question:
    """What a subject can be asked about the data of a source: regions, and pixels where there are masks.

    A model is asked by all the names of the data but those of strangers; of scenes, by all that scenes can show.

    Args:
        lens: that asks, for errors.
        subject: who is asked.
        source: of the data.
        drawing: settings of the scenes, where they are drawn.

    Raises:
        UsageError: where nothing can be asked, or nothing in the data is of a class.
    """
    images = source.labelled(lens, masks="regions" not in subject.heads, **drawing)
    heads = [head for head in subject.heads if head == "regions" or all(image.masked for image in images)]
    strangers = {normalised(name) for name in source.strangers}
    drawn = source.file is None
    found = {name for image in images for name in image.names}
    named = {"regions": CLASSES[len(GROUNDS) :], "pixels": CLASSES} if drawn else dict.fromkeys(heads, sorted(found))
    known = {normalised(name): name for name in [*found, *(name for names in named.values() for name in names)]}
    missing = next((name for name in source.strangers if normalised(name) not in known), None)
    if missing is not None:
        raise UsageError(
            f"the unknown name {missing!r} is none of {source}; {suggestion(missing, sorted(known.values()))}"
        )
    vocabularies = {
        head: subject.vocabulary([name for name in named[head] if normalised(name) not in strangers]) for head in heads
    }
    if all((subject.labels(one, sorted(found)) < 0).all() for one in vocabularies.values()):
        raise UsageError(
            f"nothing in {source} is of a class: there are {', '.join(sorted(found)[:8])}, and the classes are "
            f"{', '.join(next(iter(vocabularies.values())).names[:8])}; give data of these classes"
        )
    return Question(images, vocabularies)


def ask(
    subject: Subject,
    asked: Question,
    head: str,
    most: int = PIXELS,
    change: Change | None = None,
    doubts: bool = False,
    wanted: str = "asking",
) -> Asked:
    """Ask for the class of each region, or of a sample of the labelled pixels.

    Args:
        subject: who is asked.
        asked: images and classes.
        head: ``"regions"`` or ``"pixels"``.
        most: pixels of all images together.
        change: from an image and its index to what is shown in its place; None to show it as it is.
        doubts: also say how little known each is, by what probabilities do not tell.
        wanted: what it is for, beside the bar of progress.
    """
    vocabulary, rng = asked.vocabularies[head], np.random.default_rng(0)
    each = max(1, most // max(len(asked.images), 1))
    parts: list[Asked] = []
    progress = tqdm(asked.images, desc=f"{wanted} {head}", unit="image", delay=2, disable=None)
    for index, image in enumerate(progress):
        pixels = image.read() if change is None else change(image.read(), index)
        if head == "regions":
            part = _regions(subject, image, pixels, vocabulary, doubts)
        else:
            part = _pixels(subject, image, pixels, vocabulary, each, rng, doubts)
        parts.append(replace(part, images=np.full(len(part.labels), index)))
    return Asked(
        np.concatenate([part.logits for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.weights for part in parts]),
        vocabulary.names,
        head,
        {name: np.concatenate([part.doubts[name] for part in parts]) for name in parts[0].doubts},
    )


def _regions(
    subject: Subject, image: LabelledImage, pixels: UInt8[np.ndarray, "H W 3"], vocabulary: Vocabulary, doubts: bool
) -> Asked:
    regions = image.place((pixels.shape[0], pixels.shape[1]))
    embedded = next(iter(subject.vectors([pixels], [regions])))
    labels = subject.labels(vocabulary, image.names)
    return Asked(
        subject.region_logits(embedded, vocabulary).double().numpy(),
        labels,
        labels,
        np.ones(len(labels)),
        vocabulary.names,
        "regions",
        {name: values.double().numpy() for name, values in subject.region_doubts(embedded).items()} if doubts else {},
    )


def _pixels(
    subject: Subject,
    image: LabelledImage,
    pixels: UInt8[np.ndarray, "H W 3"],
    vocabulary: Vocabulary,
    most: int,
    rng: np.random.Generator,
    doubts: bool,
) -> Asked:
    truth, names = image.pixels((pixels.shape[0], pixels.shape[1]))
    places = np.flatnonzero(truth.ravel() != NOTHING)
    chosen = np.sort(rng.permutation(places)[:most])
    shares = subject.pixels(pixels, vocabulary).flatten(1)[:, torch.from_numpy(chosen)].T.double()
    labels = subject.labels(vocabulary, names)[truth.ravel()[chosen]]
    found = subject.pixel_doubts(pixels, vocabulary) if doubts else {}
    return Asked(
        shares.clamp(min=1e-12).log().numpy(),
        labels,
        labels,
        np.full(len(chosen), len(places) / max(len(chosen), 1)),
        vocabulary.names,
        "pixels",
        {name: values.flatten().double().numpy()[chosen] for name, values in found.items()},
    )
