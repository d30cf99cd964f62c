"""Descriptions of classes: texts of a language model, of an expert, or of whoever knows what a class looks like.

A file of them is JSON, ``{"name of a class": ["a text", "another", …], …}``. Whoever wrote it, densevl only reads it.
"""

from collections.abc import Mapping, Sequence
from itertools import cycle, islice
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from densevl.core.errors import UsageError, shortened
from densevl.core.files import read_json
from densevl.core.vocabulary import normalised
from densevl.encoders.clip import CLIPEncoder
from densevl.training.tuning.contracts import Step

__all__ = ["description_vectors", "descriptions_of", "of_step", "read_descriptions"]

FORM = '{"name of a class": ["a text", …], …}'


def read_descriptions(path: str | Path) -> dict[str, tuple[str, ...]]:
    """Texts by the names of classes, from a JSON file.

    Raises:
        UsageError: where there is no such file, it is no JSON, or has another form.
    """
    found = read_json(Path(path).expanduser())
    if not isinstance(found, Mapping) or not found:
        raise UsageError(f"{path}: descriptions are {FORM}; got {shortened(repr(found), 60)}")
    for name, texts in found.items():
        good = isinstance(texts, list) and texts and all(isinstance(text, str) and text.strip() for text in texts)
        if not good:
            raise UsageError(
                f"{path}: the descriptions of {name!r} are a list of one text or more, none of them blank; got "
                f"{shortened(repr(texts), 60)}"
            )
    return {name: tuple(texts) for name, texts in found.items()}


def descriptions_of(names: Sequence[str], known: Mapping[str, Sequence[str]]) -> list[Sequence[str]]:
    """The descriptions of classes, in their order; neither case nor white space of a name matters.

    Args:
        names: of the classes.
        known: texts by name; further names may be among them.

    Raises:
        UsageError: where a class has none.
    """
    texts = {normalised(name): own for name, own in known.items()}
    missing = [name for name in names if not texts.get(normalised(name))]
    if missing:
        raise UsageError(
            f"{len(missing)} of {len(names)} classes have no descriptions: {shortened(', '.join(missing), 80)}; the "
            f"file has those of {shortened(', '.join(known), 80)}"
        )
    return [texts[normalised(name)] for name in names]


def description_vectors(
    encoder: CLIPEncoder, names: Sequence[str], known: Mapping[str, Sequence[str]]
) -> Float[Tensor, "k m d"]:
    """Unit vectors of descriptions, equally many of each class: where a class has fewer, they are taken again in turn.

    A text that is too long for the encoder loses its last words.

    Args:
        encoder: before anything in it is tuned.
        names: of the classes.
        known: texts by name.

    Raises:
        UsageError: where a class has none.
    """
    found = descriptions_of(names, known)
    most = max(map(len, found))
    texts = [text for own in found for text in islice(cycle(own), most)]
    unique = list(dict.fromkeys(texts))
    vectors = encoder.embed_texts(encoder.fit_texts(unique)[0])
    place = {text: row for row, text in enumerate(unique)}
    return vectors[torch.tensor([place[text] for text in texts])].unflatten(0, (len(names), most)).detach()


def of_step(step: Step, loss: str) -> Float[Tensor, "k m d"]:
    """The descriptions of a step.

    Args:
        step: of tuning.
        loss: that asks, for the error.

    Raises:
        UsageError: where there are none.
    """
    if step.descriptions is None:
        raise UsageError(f"{loss} needs descriptions of the classes; give a file of them, {FORM}, as --descriptions")
    return step.descriptions
