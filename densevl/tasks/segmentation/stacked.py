"""Segmentors of feature stacks: label maps of classes that were taught with masks, by the labelling of texts."""

from densevl.core.errors import UsageError
from densevl.dense.stack import FeatureStack, StackRefiner
from densevl.encoders.contracts import Encoder
from densevl.tasks.segmentation.segmentor import Segmentor

__all__ = ["segmentor_of_space", "stacked_segmentor"]


def stacked_segmentor(encoder: Encoder, stack: FeatureStack) -> Segmentor:
    """A segmentor whose vectors are those of a stack.

    Args:
        encoder: a built one, which is shared.
        stack: how images are seen, and what is made of the maps.

    Raises:
        UsageError: where the stack does not fit the encoder.
    """
    return Segmentor(
        encoder,
        "plain",
        [StackRefiner(stack)],
        templates="none",
        short_side=stack.short_side,
        long_side=stack.long_side,
        window=stack.window,
        stride=stack.window_stride if stack.window is None else min(stack.window_stride, stack.window),
        positions=stack.positions,
        border=stack.border,
    )


def segmentor_of_space(encoder: Encoder, space: str | None) -> Segmentor:
    """The segmentor that makes the vectors of a space, for classes whose space it is.

    Args:
        encoder: a built one, which is shared.
        space: of a classifier that was taught with masks.

    Raises:
        UsageError: where the space is no feature stack.
    """
    if space is None or not FeatureStack.named(space):
        raise UsageError("the classes were not taught for pixels; teach them with `--for pixels`, or with `--for both`")
    return stacked_segmentor(encoder, FeatureStack.parse(space))
