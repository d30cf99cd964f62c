"""Questions that each have texts of their own to choose from: which of them suits this thing best?

The same choice is made in three ways: by the vector of the whole image, by that of the region, and by its pixels.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Int, UInt8
from torch import Tensor
from tqdm import tqdm

from densevl.benchmarks.lenses.subject import Subject
from densevl.core.errors import UsageError
from densevl.core.regions import Regions
from densevl.core.vocabulary import normalised
from densevl.datasets.scenes import Scene

__all__ = ["WAYS", "ChoiceImage", "choose_by", "of_scene", "refuse_taught", "ways_of"]

WAYS = {"image": "whole image", "regions": "region", "pixels": "pixels"}
"""What a choice is made by, and what people call it."""

TOGETHER = 128
"""Texts up to which pixels are compared with those of all images, so that they are embedded once."""


@dataclass(frozen=True, eq=False)
class ChoiceImage:
    """An image, and the texts that each of its regions chooses from.

    Attributes:
        read: gives the image, RGB (H, W, 3).
        place: gives the regions for the (height, width) of the image.
        options: texts of each region.
        kinds: of the options of each region; what they mean is for the lens to say.
    """

    read: Callable[[], UInt8[np.ndarray, "H W 3"]]
    place: Callable[[tuple[int, int]], Regions]
    options: Sequence[Sequence[str]]
    kinds: Sequence[Sequence[int]]


def of_scene(scene: Scene, options: Sequence[Sequence[str]], kinds: Sequence[Sequence[int]]) -> ChoiceImage:
    """A scene whose objects choose from texts, in their order."""
    masks = torch.from_numpy(np.stack([item.mask for item in scene.objects]))
    boxes = torch.tensor([item.box for item in scene.objects]).float()
    return ChoiceImage(lambda: scene.image, lambda size: Regions(boxes, size, masks), options, kinds)


def refuse_taught(lens: str, subject: Subject) -> None:
    """Refuse taught classes: a lens that asks by texts of its own can ask nothing else.

    Raises:
        UsageError: where the subject is asked by classes that it was taught.
    """
    if subject.classes is not None:
        raise UsageError(
            f"the lens {lens!r} asks by texts of its own, and taught classes know none; name the model, "
            "with --set encoder.delta=FILE where it was tuned"
        )


def ways_of(subject: Subject) -> tuple[str, ...]:
    """The ways of :data:`WAYS` in which a subject can choose."""
    return ("image", *(head for head in ("regions", "pixels") if head in subject.heads))


def choose_by(
    way: str, subject: Subject, images: Sequence[ChoiceImage]
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, "n k"]]:
    """The choice for each region of all images, and the kinds of its options.

    Of pixels, the text wins whose probability among the options is highest on average over the region. Texts beyond
    the context of the model lose their last words.

    Args:
        way: one of :data:`WAYS`.
        subject: a model, asked by texts.
        images: with their questions.

    Returns:
        The index of the option that was chosen, and the kinds, filled up with −1.
    """
    texts = list(dict.fromkeys(text for image in images for options in image.options for text in options))
    template = max(subject.model.query_templates, key=len)
    fitting, _ = subject.model.viewer.encoder.fit_texts(texts, template)
    fitted = dict(zip(texts, fitting, strict=True))
    unique = list(dict.fromkeys(fitting))
    vectors = None if way == "pixels" else subject.texts(unique)
    places, chosen, kinds = {text: index for index, text in enumerate(unique)}, [], []
    shared = unique if len(unique) <= TOGETHER else None
    for image in tqdm(images, desc=WAYS[way], unit="image", delay=2, disable=None):
        pixels = image.read()
        regions = image.place((pixels.shape[0], pixels.shape[1]))
        wanted = [[fitted[text] for text in options] for options in image.options]
        if vectors is None:
            scores = _by_pixels(subject, pixels, regions, wanted, shared)
        else:
            if way == "image":
                found = subject.wholes([pixels]).expand(len(regions), -1)
            else:
                found = next(iter(subject.vectors([pixels], [regions]))).vectors.float().cpu()
            scores = [
                vectors[[places[text] for text in options]] @ own for own, options in zip(found, wanted, strict=True)
            ]
        chosen += [int(one.argmax()) for one in scores]
        kinds += image.kinds
    most = max(map(len, kinds))
    return np.array(chosen), np.array([[*own, *[-1] * (most - len(own))] for own in kinds])


def _by_pixels(
    subject: Subject,
    pixels: UInt8[np.ndarray, "H W 3"],
    regions: Regions,
    options: Sequence[Sequence[str]],
    texts: Sequence[str] | None,
) -> list[Float32[Tensor, " k"]]:
    """The mean probability of each option, among the options, over the pixels of each region.

    Args:
        subject: a model, asked by texts.
        pixels: of the image.
        regions: of the image.
        options: texts of each region.
        texts: those of all images, where the same few are asked of each; None to ask for the options alone.
    """
    vocabulary = subject.vocabulary(texts or [text for some in options for text in some])
    places: Mapping[str, int] = {normalised(name): index for index, name in enumerate(vocabulary.names)}
    shares = subject.pixels(pixels, vocabulary)
    masks = (regions if regions.masks is not None else regions.with_filled_boxes()).masks
    assert masks is not None
    scores = []
    for mask, some in zip(masks, options, strict=True):
        own = shares[[places[normalised(text)] for text in some]][:, mask]
        scores.append((own / own.sum(0).clamp(min=1e-12)).mean(1))
    return scores
