"""Taught classes on labelled regions: how right they are, how sure they may be, and what they do not know."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from tqdm import tqdm

from densevl.classifiers.classes import Classes
from densevl.classifiers.contracts import check_classifier
from densevl.classifiers.evidence import SHARE, Neighbour
from densevl.core.errors import UsageError
from densevl.core.images import read_image
from densevl.core.labelmap import LabelMap
from densevl.datasets.examples import Example, SequenceExample
from densevl.metrics.taught import TaughtScores
from densevl.regions.pipeline import RegionPipeline
from densevl.tasks.teaching.region_vectors import region_vectors

__all__ = ["COVERAGE", "Checked", "check_pixels", "check_regions", "checked_vectors", "truths_of"]

COVERAGE = 0.9
"""What the sets of classes that are checked promise."""

PIXELS = 100_000
"""Pixels that are kept of all masks, about."""

NEIGHBOURS = 3
"""Taught examples that are named beside each answer."""


@dataclass(frozen=True, eq=False)
class Checked:
    """What taught classes say of labelled examples.

    Attributes:
        head: the head that was asked.
        examples: what was asked for.
        scores: figures of the answers, of examples or of pixels.
        each: figures of the answers for the examples, in their order.
        limit: doubt beyond which an example counts as unknown; None where too few examples were held out to say.
        neighbours: taught examples that look like each; none where they were not kept.
        sets: figures of sets of classes: how many hold the true one, and how many classes they hold; None where too
            few examples were held out to promise anything.
    """

    head: str
    examples: Sequence[Example | SequenceExample]
    scores: TaughtScores
    each: TaughtScores
    limit: float | None
    neighbours: Sequence[Sequence[Neighbour]]
    sets: dict[str, float] | None

    def as_dict(self, share: float) -> dict[str, Any]:
        """Values for a JSON file.

        Args:
            share: of known things that may be called unknown.
        """
        known, doubts = self.scores.known, self.scores.doubts
        called: dict[str, Any] | None = None
        if self.limit is not None:
            beyond = doubts > self.limit
            called = {
                "share": share,
                "limit": self.limit,
                "known_called_unknown": float(beyond[known].mean()) if known.any() else None,
                "unknown_called_unknown": float(beyond[~known].mean()) if (~known).any() else None,
            }
        return {**self.scores.as_dict(), "sets": self.sets, "called_unknown": called, "answers": self._answers()}

    def _answers(self) -> list[dict[str, Any]]:
        names, confidences = self.each.names, self.each.confidences.tolist()
        answers, doubts = self.each.answers.tolist(), self.each.doubts.tolist()
        found = []
        for number, example in enumerate(self.examples):
            neighbours = [
                {"name": names[one.label], "image": one.image, "box": one.box, "similarity": round(one.similarity, 6)}
                for one in (self.neighbours[number] if self.neighbours else ())
            ]
            found.append(
                {
                    "image": str(example.image),
                    "truth": example.name,
                    "answer": names[answers[number]],
                    "confidence": round(confidences[number], 6),
                    "doubt": round(doubts[number], 6),
                    "unknown": None if self.limit is None else doubts[number] > self.limit,
                    "neighbours": neighbours,
                }
            )
        return found


@torch.inference_mode()
def check_regions(
    classes: Classes, examples: Sequence[Example], pipeline: RegionPipeline, share: float = SHARE
) -> Checked:
    """What classes say of labelled regions.

    Args:
        classes: taught for regions.
        examples: that they were not taught by; some may be of no class.
        pipeline: makes masks where there are none, and vectors.
        share: of known things that may be called unknown, in (0, 0.5].

    Raises:
        ImageError: where an image cannot be read.
        UsageError: where no example is of a class, or the classes were taught for another model.
    """
    classifier, truths = classes.head("regions"), truths_of(classes, examples)
    vectors = region_vectors(examples, truths.tolist(), pipeline)
    check_classifier(classifier, vectors.model_id, vectors.space)
    return checked_vectors(classes, "regions", examples, truths, vectors.vectors, share)


def checked_vectors(
    classes: Classes,
    name: str,
    examples: Sequence[Example | SequenceExample],
    truths: Int[np.ndarray, " n"],
    vectors: Float[Tensor, "n d"],
    share: float,
) -> Checked:
    """What a head says of the vectors of examples.

    Args:
        classes: that have the head.
        name: of the head.
        examples: that the vectors are of.
        truths: class of each, −1 for none.
        vectors: of the space of the head.
        share: of known things that may be called unknown, in (0, 0.5].
    """
    classifier, head = classes.head(name), classes.heads[name]
    probabilities = classifier(vectors).double().softmax(1)
    evidence, limit, sets = head.evidence, None, None
    if evidence is None:
        doubts = 1 - probabilities.max(1).values
    else:
        doubts = head.known.doubts(vectors.double())
        limit = _allowed(lambda: evidence.limit(share))
        known = torch.from_numpy(truths >= 0)
        chosen = _allowed(lambda: evidence.sets(probabilities[known].float(), COVERAGE))
        if chosen is not None and len(chosen):
            held = chosen.gather(1, torch.from_numpy(truths)[known][:, None]).double().mean()
            sets = {
                "coverage": COVERAGE,
                "covered": float(held),
                "classes": float(chosen.sum(1).double().mean()),
                "alone": float((chosen.sum(1) == 1).double().mean()),
                "empty": float((chosen.sum(1) == 0).double().mean()),
            }
    scores = TaughtScores(probabilities.numpy(), truths, classes.names, doubts.double().numpy())
    neighbours = [] if evidence is None else evidence.neighbours(vectors, NEIGHBOURS)
    return Checked(name, examples, scores, scores, limit, neighbours, sets)


@torch.inference_mode()
def check_pixels(
    classes: Classes, examples: Sequence[Example], label: Callable[[UInt8[np.ndarray, "_ _ 3"]], LabelMap]
) -> Checked:
    """What classes say of the pixels of masks; the answer for a mask is the class of the largest mean probability.

    Of each mask a sample of pixels is kept, which counts as its area. Pixels in no mask count nowhere.

    Args:
        classes: taught for pixels.
        examples: masks that they were not taught by; some may be of no class.
        label: gives the label map of an image by these classes, with the probability of each class at each pixel.

    Raises:
        ImageError: where an image cannot be read.
        UsageError: where no example is of a class, or one has no mask.
    """
    truths, rng = truths_of(classes, examples), np.random.default_rng(0)
    bare = next((one for one in examples if one.mask is None), None)
    if bare is not None:
        raise UsageError(f"{bare.place}: pixels are checked by masks, and this example has none; draw it")
    most, of_image = max(1, PIXELS // len(examples)), dict[Path, list[int]]()
    for number, example in enumerate(examples):
        of_image.setdefault(example.image, []).append(number)
    means = np.zeros((len(examples), len(classes)))
    sampled, owners, weights = [], [], []
    for path, numbers in tqdm(of_image.items(), desc="checking", unit="image", delay=2, disable=None):
        found = label(read_image(path))
        if found.scores is None:
            raise UsageError("pixels are checked by label maps with scores")
        scores = found.scores.float().cpu().numpy()
        for number in numbers:
            mask = examples[number].mask_in((scores.shape[1], scores.shape[2]))
            places = np.flatnonzero(mask)
            means[number] = scores.reshape(len(classes), -1)[:, places].mean(1)
            chosen = rng.permutation(places)[:most]
            sampled.append(scores.reshape(len(classes), -1)[:, chosen].T)
            owners.append(np.full(len(chosen), truths[number]))
            weights.append(np.full(len(chosen), len(places) / len(chosen)))
    shares = np.concatenate(sampled).astype(np.float64)
    pixels = TaughtScores(
        shares, np.concatenate(owners), classes.names, 1 - shares.max(1), np.concatenate(weights).astype(np.float64)
    )
    each = TaughtScores(means, truths, classes.names, 1 - means.max(1))
    return Checked("pixels", examples, pixels, each, None, [], None)


def truths_of(classes: Classes, examples: Sequence[Example | SequenceExample]) -> Int[np.ndarray, " n"]:
    """The class of each example; −1 for a name that is none of the classes.

    Raises:
        UsageError: where no example is of a class.
    """
    labels = [classes.label(example.name) for example in examples]
    truths = np.array([-1 if label is None else label for label in labels], dtype=np.int64)
    if not (truths >= 0).any():
        names = ", ".join(dict.fromkeys(example.name for example in examples))
        raise UsageError(
            f"no example is of a class that was taught: they are {names}, and the classes are "
            f"{', '.join(classes.names)}; give examples of these"
        )
    return truths


def _allowed(promise: Any) -> Any:
    """What a promise gives; None where too few examples were held out for it."""
    try:
        return promise()
    except UsageError:
        return None
