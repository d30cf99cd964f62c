"""Classes of pixels from masks: the feature stack, the shrinkage, and the linear classifier that comes of them.

1. Each image is encoded on each of a few stacks (:mod:`densevl.tasks.teaching.candidates`), as it is and in other
   lights. A mask gives the cells that it covers by half as examples of its class.
2. The examples are cut into folds, and each fold is labelled by what the others taught. Of stacks, shrinkages, and
   lights or none, those are taken whose labels overlap best with the masks (mean intersection over union of the
   classes). Nothing but the examples decides.
3. The classifier is linear (:mod:`densevl.classifiers.shrunk`), on a dense map a 1×1 convolution. Its temperature is
   the one at which the held-out cells are most likely.

A box is a mask that is a rectangle, a point one of a single pixel. A mask that covers no cell by half speaks by the one
cell that it covers most.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch import Tensor
from tqdm import tqdm

from densevl.classifiers.classes import Head
from densevl.classifiers.contracts import LinearClassifier, check_classifier
from densevl.classifiers.shrunk import shrunk_weights
from densevl.classifiers.sums import Sums
from densevl.classifiers.unknown import Known
from densevl.core.engine import HERE, Engine
from densevl.core.errors import UsageError
from densevl.core.vocabulary import Vocabulary
from densevl.dense.stack import FeatureStack
from densevl.encoders.contracts import Encoder
from densevl.tasks.teaching.candidates import candidate_stacks
from densevl.tasks.teaching.cell_worker import StackedImage, cells_of_images
from densevl.tasks.teaching.cells import COVERED
from densevl.tasks.teaching.fitting import HeldOut
from densevl.tasks.teaching.light import LIGHTS
from densevl.tasks.teaching.masked_cells import FOLDS, MaskedCells, MaskedImage

__all__ = ["METHOD", "SHRINKAGES", "teach_pixels"]

METHOD = "shrunk gaussians"
"""What files of classes call it."""

SHRINKAGES = (0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
"""Shrinkages to choose from."""

TRIED_ON = 16
"""Images that a choice is made on, at most; all images are learnt from."""

JUDGED = 100_000
"""Cells that a choice is judged by, at most."""

Look = Callable[[Sequence[StackedImage]], Iterator[MaskedCells]]
"""Looks at images on the grids of stacks."""

TEMPERATURES = torch.logspace(-1, 4, 201, dtype=torch.float64)
"""Temperatures to choose from."""


@dataclass(frozen=True)
class Choice:
    """Settings of a head, and how the examples judge them.

    Attributes:
        stack: the feature stack.
        lights: whether images in other lights count as examples.
        shrinkage: of the covariance.
        miou: of the held-out cells, in [0, 1]; 0 where none could be held out.
        accuracy: part of the held-out pixels that is right.
        temperature: at which the held-out cells are most likely.
        held_out: what the cells that a mask covers by half are taken for; None where none could be held out.
    """

    stack: FeatureStack
    lights: bool = False
    shrinkage: float = 0.5
    miou: float = 0.0
    accuracy: float = 0.0
    temperature: float = 1.0
    held_out: HeldOut | None = field(default=None, compare=False, repr=False)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings: JSON values only."""
        return {"shrinkage": self.shrinkage, "lights": sorted(LIGHTS) if self.lights else []}

    @classmethod
    def of(cls, head: Head) -> "Choice":
        """The settings of a head.

        Raises:
            UsageError: where it holds no sums to go on from.
        """
        settings = head.facts.get("settings")
        if head.sums is None or not isinstance(settings, dict) or "shrinkage" not in settings:
            raise UsageError("the earlier classes hold no sums of pixels to go on from; teach all examples at once")
        stack, temperature = FeatureStack.parse(str(head.classifier.space)), float(head.facts.get("temperature", 1.0))
        return cls(stack, bool(settings.get("lights")), float(settings["shrinkage"]), temperature=temperature)


def teach_pixels(
    encoder: Encoder,
    images: Sequence[MaskedImage],
    vocabulary: Vocabulary,
    stacks: Sequence[FeatureStack] | None = None,
    shrinkages: Sequence[float] = SHRINKAGES,
    lights: Sequence[bool] = (False, True),
    before: Head | None = None,
    flip: bool = False,
    engine: Engine = HERE,
    again: Callable[[], Encoder] | None = None,
) -> tuple[Head, HeldOut | None]:
    """The head of classes by which pixels are labelled, and what it says of held-out cells; None where there are none.

    Args:
        encoder: whose maps are stacked.
        images: with masks.
        vocabulary: the classes, each with a mask here or in the earlier head.
        stacks: feature stacks to choose from; None for those of the table.
        shrinkages: to choose from.
        lights: whether to learn from images in other lights: False, True, or both to choose from.
        before: an earlier head of the same classes, whose examples count as well, and whose settings are kept.
        flip: learn from the mirror image of each image, too, in its own light.
        engine: where images are encoded; the head is the same to the last bit where its threads are.
        again: makes the encoder in other processes; needed where the engine has any.

    Raises:
        UsageError: where a class has no mask, masks have another size than their image, or the earlier head is of
            another model or cannot be gone on from.
    """
    _check(images, vocabulary, before)
    look = partial(cells_of_images, encoder=encoder, classes=len(vocabulary), engine=engine, again=again)
    if before is None:
        every = candidate_stacks(encoder) if stacks is None else stacks
        tried = _tried(look, images, every, shrinkages, lights, flip)
        choice = max(tried, key=lambda one: one.miou)
        facts = _facts(choice, tried)
    else:
        check_classifier(before.classifier, encoder.model_id, before.classifier.space)
        choice, facts = Choice.of(before), dict(before.facts)
    sums = _sums(look, images, choice, flip)
    if before is not None and before.sums is not None:
        sums = before.sums + sums
    ((weight, bias),) = shrunk_weights(sums, [choice.shrinkage])
    weight, bias = weight / choice.temperature, bias / choice.temperature
    classifier = LinearClassifier(weight, bias, vocabulary, encoder.model_id, choice.stack.name)
    return Head(classifier, weight.shape[1], sums, facts), choice.held_out


def _check(images: Sequence[MaskedImage], vocabulary: Vocabulary, before: Head | None) -> None:
    known = torch.zeros(len(vocabulary), dtype=torch.bool)
    if before is not None and before.sums is not None:
        known |= before.sums.counts > 0
    for image in images:
        if image.masks.shape[1:] != image.image.shape[:2]:
            raise UsageError(
                f"masks of {image.masks.shape[1]}×{image.masks.shape[2]} pixels do not fit their image of "
                f"{image.image.shape[0]}×{image.image.shape[1]}; save them in the size of the image"
            )
        known[image.labels[image.masks.flatten(1).any(1)]] = True
    if not known.all():
        missing = ", ".join(name for name, there in zip(vocabulary.names, known.tolist(), strict=True) if not there)
        raise UsageError(f"pixels are taught by masks, boxes or points of each class; there is none of {missing}")


def _tried(
    look: Look,
    images: Sequence[MaskedImage],
    stacks: Sequence[FeatureStack],
    shrinkages: Sequence[float],
    lights: Sequence[bool],
    flip: bool,
) -> list[Choice]:
    """The best shrinkage of each stack with and without lights, as held-out cells judge them."""
    places = np.linspace(0, len(images) - 1, min(len(images), TRIED_ON)).astype(int).tolist()
    folds = [number % FOLDS if len(places) >= FOLDS else None for number in range(len(places))]
    items = [
        StackedImage(images[place : place + 1], place, stack, fold, any(lights), JUDGED // len(places), flip)
        for stack in stacks
        for place, fold in zip(places, folds, strict=True)
    ]
    looked, found = look(items), []
    for stack in stacks:
        shown = {"desc": f"{stack.short_side} px", "total": len(places), "disable": None, "leave": False}
        cells = MaskedCells.cat(list(tqdm(islice(looked, len(places)), **shown)))
        found += [_judged(Choice(stack, lit), cells, shrinkages) for lit in lights]
    return found


def _judged(choice: Choice, cells: MaskedCells, shrinkages: Sequence[float]) -> Choice:
    """A choice with the shrinkage that labels the held-out cells best, and the temperature that belongs to it."""
    classes = cells.parts.shape[1]
    counts = torch.zeros(len(shrinkages), classes, classes, dtype=torch.float64)
    logits = torch.zeros(len(shrinkages), *cells.parts.shape)
    parts = cells.parts.clone()
    for fold in cells.folds.unique().tolist():
        sums, here = cells.sums(choice.lights, without=fold), cells.folds == fold
        parts[here] *= sums.counts > 0  # a class that the other folds do not show cannot be judged
        if not sums.counts.any():
            continue
        for place, (weight, bias) in enumerate(shrunk_weights(sums, shrinkages)):
            logits[place, here] = cells.vectors[here] @ weight.mT + bias
            counts[place].index_add_(1, logits[place, here].argmax(1), parts[here].double().mT)
    if not parts.any():
        return choice
    scores = torch.stack([_miou(one) for one in counts])
    best = int(scores.argmax())
    temperature = _temperature(logits[best], parts)
    shown, labels = parts.max(1)
    judged = (shown >= COVERED).nonzero().flatten()
    probabilities = (logits[best][judged] / temperature).softmax(1)
    doubts = _doubts(choice, cells)[judged]
    held_out = HeldOut(judged, labels[judged], probabilities, temperature, doubts) if len(judged) else None
    accuracy = float(counts[best].trace() / counts[best].sum())
    return Choice(choice.stack, choice.lights, shrinkages[best], float(scores[best]), accuracy, temperature, held_out)


def _doubts(choice: Choice, cells: MaskedCells) -> Float32[Tensor, " m"]:
    """How far each cell lies from what the other folds show; infinite where they show nothing."""
    folds, doubts = cells.folds.unique().tolist(), torch.full((len(cells.vectors),), torch.inf)
    parts = [cells.sums(choice.lights, without=fold) for fold in folds]
    whole = sum(float(one.counts.sum()) for one in parts) / max(len(parts) - 1, 1)  # each cell is in all parts but one
    for fold, sums in zip(folds, parts, strict=True):
        if sums.counts.any():
            here = cells.folds == fold
            doubts[here] = Known.of(sums, whole).doubts(cells.vectors[here].double()).float()
    return doubts


def _miou(counts: Float64[Tensor, "k k"]) -> Float64[Tensor, ""]:
    """Mean intersection over union of the classes that are there, of counts by true class and label."""
    there = counts.sum(1) > 0
    union = counts.sum(0) + counts.sum(1) - counts.diagonal()
    return (counts.diagonal() / union.clamp(min=torch.finfo(counts.dtype).tiny))[there].mean()


def _temperature(logits: Float32[Tensor, "m k"], parts: Float32[Tensor, "m k"]) -> float:
    """The temperature at which cells are most likely."""
    choices = TEMPERATURES.tolist()
    return min(choices, key=lambda one: -float((parts * (logits / one).log_softmax(1)).sum()))


def _sums(look: Look, images: Sequence[MaskedImage], choice: Choice, flip: bool) -> Sums:
    """The sums of all images."""
    items = [
        StackedImage(images[place : place + 1], place, choice.stack, 0, choice.lights, 0, flip)
        for place in range(len(images))
    ]
    cells = tqdm(look(items), desc="learning", total=len(items), disable=None, leave=False)
    first, *others = (one.sums(choice.lights) for one in cells)
    return sum(others, first)


def _facts(choice: Choice, tried: Sequence[Choice]) -> dict[str, Any]:
    """What is known of a head: JSON values only."""
    held = {} if choice.held_out is None else choice.held_out.facts
    held_out = {"folds": FOLDS, "miou": round(choice.miou, 6), "accuracy": round(choice.accuracy, 6)}
    held_out |= {name: held[name] for name in ("ece", "nll", "temperature") if name in held}
    others = [
        {"stack": one.stack.name, **one.settings, "miou": round(one.miou, 6)} for one in tried if one is not choice
    ]
    facts = {"method": METHOD, "settings": choice.settings, "tried": others, "temperature": choice.temperature}
    return facts if choice.held_out is None else {**facts, "held_out": held_out}
