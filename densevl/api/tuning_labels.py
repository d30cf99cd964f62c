"""Classes of examples for tuning: by the names that people gave, or made where a method reads none."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from densevl.core.errors import UsageError
from densevl.core.registry import build
from densevl.core.vocabulary import Vocabulary
from densevl.datasets.examples import Example, ExamplesLike, given_examples
from densevl.datasets.examples.folders import read_unnamed
from densevl.dense.guides import GUIDES
from densevl.regions.embedders.marked_images import MarkedImages
from densevl.training.tuning.descriptions import read_descriptions
from densevl.training.tuning.looks import CropLooks, Shown
from densevl.training.tuning.methods import Settings
from densevl.training.tuning.model import TunedCLIP
from densevl.training.tuning.pseudo_labels import pseudo_labels

__all__ = [
    "Descriptions",
    "asked_classes",
    "described",
    "filled",
    "made_labels",
    "reads_descriptions",
    "taken_examples",
]

Descriptions = Mapping[str, Sequence[str]] | str | Path
"""Texts by the names of classes, or a JSON file of them."""

TOGETHER = 16
"""Examples that the second encoder sees at once."""

TAUGHT, GIVEN = "taught", "given"
"""What stands in the settings of class texts for the names of the classes, and for their descriptions."""


def described(descriptions: Descriptions | None) -> Mapping[str, Sequence[str]] | None:
    """Descriptions by name; None where there are none.

    Raises:
        UsageError: where their file cannot be used.
    """
    return read_descriptions(descriptions) if isinstance(descriptions, str | Path) else descriptions


def taken_examples(examples: ExamplesLike, method: str, settings: Settings, names: Sequence[str] | None) -> Any:
    """Examples as the method takes them; where names of classes are given, those of the examples are not read.

    Args:
        examples: as for teaching; or a folder of images, where names are given.
        method: name of the method, for errors.
        settings: of it.
        names: of the classes; None for those of the examples.

    Raises:
        UsageError: where the examples cannot be used, or names are given to a method that reads labels.
    """
    if names is None:
        return given_examples(examples)
    if settings.unlabelled is None:
        raise UsageError(
            f"names are given to methods that read no labels, such as nola; {method} reads examples' names"
        )
    if isinstance(examples, str | Path) and Path(examples).expanduser().is_dir():
        return read_unnamed(Path(examples).expanduser())
    return given_examples(examples)


def asked_classes(given: Sequence[Example], names: Sequence[str] | None) -> Vocabulary:
    """The classes that examples without labels are told apart into, in the order of their names.

    Args:
        given: the examples, whose names are asked for where no others are; which one has which is not looked at.
        names: of the classes.

    Raises:
        UsageError: where there are fewer than two.
    """
    found = sorted({one.name for one in given}) if names is None else list(dict.fromkeys(names))
    if len(found) < 2:
        raise UsageError(f"two classes or more are told apart; got {', '.join(found) or 'none'}: give their names")
    return Vocabulary.from_classes([(name,) for name in found], "taught")


def filled(settings: Settings, vocabulary: Vocabulary, descriptions: Mapping[str, Sequence[str]] | None) -> Settings:
    """Settings whose class texts have the names of the classes and their descriptions, where they ask for them.

    Args:
        settings: of a method.
        vocabulary: the classes.
        descriptions: texts by name.
    """
    given = {TAUGHT: list(vocabulary.names), GIVEN: descriptions}
    if settings.class_texts is None:
        return settings
    pairs = settings.class_texts.items()
    texts = {key: given.get(value, value) if isinstance(value, str) else value for key, value in pairs}
    return replace(settings, class_texts=texts)


def reads_descriptions(settings: Settings, needs: Collection[str]) -> bool:
    """Whether descriptions of the classes decide what a method learns.

    Args:
        settings: of the method, before they are :func:`filled`.
        needs: of its losses.
    """
    texts = settings.class_texts or {}
    return "descriptions" in needs or any(value == GIVEN for value in texts.values() if isinstance(value, str))


def made_labels(
    model: TunedCLIP, vectors: Float[Tensor, "n d"], shown: Sequence[Shown], vocabulary: Vocabulary
) -> list[int]:
    """Labels of examples that nobody labelled; see :mod:`densevl.training.tuning.pseudo_labels`.

    Args:
        model: built and not yet tuned.
        vectors: of the examples by the encoder as it was.
        shown: the examples, image by image.
        vocabulary: the classes.

    Raises:
        UsageError: where there is no second encoder, or the examples all look alike.
    """
    settings = dict(model.settings.unlabelled or {})
    guide = settings.pop("guide", None)
    if guide is None:
        raise UsageError(
            "labels are made by a second encoder, and there is none: --set unlabelled.guide=dino names one of "
            f"{', '.join(GUIDES.names)}"
        )
    with torch.no_grad():
        texts = model.texts(vocabulary.names).detach().to(vectors)
    logits = model.temperature * vectors @ texts.mT
    if settings.pop("centred", False):
        logits = logits - logits.mean(dim=0)
    features = _features(guide, CropLooks(MarkedImages(model.encoder, ["crop"]), shown))
    return pseudo_labels(logits.softmax(1), features, vocabulary.names, seed=model.seed, **settings).tolist()


def _features(guide: Any, looks: CropLooks) -> Float[Tensor, "n f"]:
    """What a second encoder makes of the crops of examples: mean, deviation and maximum over its patches.

    Raises:
        UsageError: where it gives none.
    """
    encoder = build(GUIDES, guide)
    parts = []
    starts = range(0, len(looks), TOGETHER)
    for start in tqdm(starts, desc="second encoder", delay=2, leave=False, disable=None):
        found = encoder(looks.images(range(start, min(start + TOGETHER, len(looks)))))
        grid = getattr(found, "grid", None)
        if grid is None:
            raise UsageError(f"the second encoder {getattr(encoder, 'name', guide)!r} gives no features of patches")
        deviations, means = torch.std_mean(grid.float(), dim=(2, 3), correction=0)
        parts.append(torch.cat([means, deviations, grid.float().amax(dim=(2, 3))], dim=1))
    return torch.cat(parts)
