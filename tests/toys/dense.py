"""Dense features in one call."""

from collections.abc import Sequence
from typing import Any

from densevl.core.features import DenseFeatures
from densevl.dense.encoder import read_dense
from densevl.encoders.contracts import Needs


def dense(encoder: Any, images: Any, readout: Any, maps: Sequence[str] = (), keys: bool = False) -> DenseFeatures:
    """What a readout makes of images, with maps and keys."""
    return read_dense(encoder, images, readout, Needs(tuple(maps), keys=keys))
