"""Classes whose texts depend on what they are compared with, and the encoder that makes these texts."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor

from densevl.classifiers.classes import Classes
from densevl.classifiers.conditional import ConditionalClassifier, conditional_parts, with_texts
from densevl.core.delta import Delta
from densevl.core.errors import UsageError
from densevl.encoders.clip import CLIPEncoder
from densevl.encoders.tuning.attached import restored
from densevl.encoders.tuning.contracts import ClassTexts, Look

__all__ = ["bound"]


def bound(classes: Classes, encoder_of: Callable[[str], Any]) -> Classes:
    """Classes with the encoder at hand, where their texts depend on what they are compared with; others as they are.

    Args:
        classes: of a file, or as tuning gave them.
        encoder_of: the encoder of the vectors of a head, or what holds it as ``encoder``; it is asked where it is
            needed.

    Raises:
        UsageError: where the classes were tuned in another encoder, or say nothing of their texts.
    """
    heads = {}
    for name, head in classes.heads.items():
        if any(part.making is None for part in conditional_parts(head.classifier)):
            made = _class_texts(classes.delta, encoder_of(name))
            heads[name] = replace(head, classifier=with_texts(head.classifier, partial(_of, made)))
    return replace(classes, heads={**classes.heads, **heads}) if heads else classes


def _of(made: ClassTexts, part: ConditionalClassifier) -> Callable[[Tensor], Tensor]:
    names = part.vocabulary.names

    def texts(vectors: Tensor) -> Tensor:
        return made.class_vectors(names, Look(vectors)).detach()

    return texts


def _class_texts(delta: Delta | None, encoder: Any) -> ClassTexts:
    """The class texts of a delta, inside an encoder.

    Raises:
        UsageError: where there are none, or they are of another encoder.
    """
    clip = encoder if isinstance(encoder, CLIPEncoder) else getattr(encoder, "encoder", None)
    if delta is None:
        raise UsageError("the texts of these classes depend on the image, and the file holds no delta that makes them")
    if not isinstance(clip, CLIPEncoder) or clip.model_id != delta.tuned_id:
        raise UsageError(
            f"the classes were tuned in {delta.model_id!r}, and this is {getattr(encoder, 'model_id', 'another')!r}; "
            "load the model that was tuned"
        )
    tunables: Iterable[Any] = clip.tuned if delta.images else restored(clip, delta)  # type: ignore[assignment]
    found = [one for one in tunables if isinstance(one, ClassTexts) and one.conditional]
    if len(found) != 1:
        raise UsageError(f"the delta of these classes makes {len(found)} kinds of texts of images; it must be one")
    return found[0]
