"""A head for pixels from examples as files hold them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from densevl.classifiers.classes import Head
from densevl.core.engine import HERE, Engine
from densevl.core.errors import UsageError
from densevl.core.vocabulary import Vocabulary
from densevl.datasets.examples import Example
from densevl.encoders.contracts import Encoder
from densevl.tasks.teaching.candidates import candidate_stacks
from densevl.tasks.teaching.example_masks import ExampleMasks
from densevl.tasks.teaching.fitting import HeldOut
from densevl.tasks.teaching.pixels import teach_pixels

__all__ = ["teach_pixel_head"]


def teach_pixel_head(
    encoder: Encoder,
    examples: Sequence[Example],
    labels: Sequence[int],
    vocabulary: Vocabulary,
    before: Head | None = None,
    facts: Mapping[str, Any] | None = None,
    lights: bool = True,
    positions: str = "size",
    border: str = "black",
    flip: bool = False,
    engine: Engine = HERE,
    again: Callable[[], Encoder] | None = None,
) -> tuple[Head, HeldOut | None]:
    """The head, and what it says of held-out cells; None where no cells could be held out.

    Args:
        encoder: of the images.
        examples: masks, points, boxes or whole images.
        labels: class of each.
        vocabulary: all classes, those of the earlier head first.
        before: a head of the first of these classes, which is gone on from.
        facts: of this teaching, for the head.
        lights: let held-out cells say whether images in other lights are learnt from, too; False for none.
        positions: how a position embedding is resized.
        border: what becomes of sides that are no multiple of the patch.
        flip: learn from the mirror image of each image, too.
        engine: where images are encoded.
        again: makes the encoder in other processes; needed where the engine has any.

    Raises:
        ImageError: where an image cannot be read.
        UsageError: where the examples cannot be used, or the earlier head cannot be gone on from.
    """
    earlier = before
    if before is not None:
        if before.sums is None:
            raise UsageError("the earlier classes hold no sums of pixels to go on from; teach all examples at once")
        earlier = replace(before, sums=before.sums.placed(range(len(before.sums)), len(vocabulary)))
    head, held = teach_pixels(
        encoder,
        ExampleMasks(examples, labels),
        vocabulary,
        candidate_stacks(encoder, positions, border),
        lights=(False, True) if lights else (False,),
        before=earlier,
        flip=flip,
        engine=engine,
        again=again,
    )
    step = {**(facts or {}), **({"held_out": head.facts["held_out"]} if held is not None else {})}
    history = [*([] if before is None else before.facts.get("taught", [])), step]
    return replace(head, facts={**head.facts, "taught": history}), held
