"""Scenes of a few things, no two of one colour or of one shape, all pairs of colour and shape alike."""

import numpy as np

from densevl.core.errors import UsageError
from densevl.datasets.scenes.scene import COLOURS, Scene, render
from densevl.datasets.scenes.shapes import SHAPES

__all__ = ["unlike_things"]


def unlike_things(seed: int, index: int, count: int, size: int | tuple[int, int] = 128) -> Scene:
    """Draw a scene whose things share neither a colour nor a shape, the same for ever.

    Args:
        seed: number of the collection.
        index: number of the scene in it.
        count: number of things.
        size: side of a square image, or (height, width).

    Raises:
        UsageError: where there are more things than colours or shapes, or no room for them.
    """
    if not 1 <= count <= min(len(COLOURS), len(SHAPES)):
        raise UsageError(f"{min(len(COLOURS), len(SHAPES))} things at most can all be unlike; got {count}")
    rng = np.random.default_rng([seed, index, count])
    colours, shapes = (rng.permutation(list(words))[:count].tolist() for words in (COLOURS, SHAPES))
    return render(seed, index, size, "val", things=list(zip(colours, shapes, strict=True)))
