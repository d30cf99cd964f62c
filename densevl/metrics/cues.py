"""Shape against colour: which of two cues of a thing decides, where the answers can follow only one.

Source: Geirhos et al., ImageNet-trained CNNs are biased towards texture; increasing shape bias improves accuracy and
robustness, ICLR 2019, https://arxiv.org/abs/1811.12231. The share of shape is the number of answers that follow the
shape, over the number of those that follow the shape or the other cue. Answers that follow neither do not count in it.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Int

from densevl.core.errors import UsageError
from densevl.metrics.intervals import Interval, share_interval
from densevl.metrics.table import or_none

__all__ = ["NEITHER", "SECOND", "SHAPE", "CueScores"]

NEITHER, SHAPE, SECOND = 0, 1, 2
"""Cues that an option follows: none, the shape alone, the other cue (colour or texture) alone."""


@dataclass(frozen=True, eq=False)
class CueScores:
    """Answers by the cue that they follow.

    Attributes:
        cues: of each answer: :data:`SHAPE`, :data:`SECOND` or :data:`NEITHER`.

    Raises:
        UsageError: where there is no answer.
    """

    cues: Int[np.ndarray, " n"]

    def __post_init__(self) -> None:
        if not len(self.cues):
            raise UsageError("cues: there is no answer to count")

    @cached_property
    def shape(self) -> int:
        """Number of answers that follow the shape."""
        return int((self.cues == SHAPE).sum())

    @cached_property
    def second(self) -> int:
        """Number of answers that follow the other cue."""
        return int((self.cues == SECOND).sum())

    @property
    def share(self) -> float:
        """Share of the shape; nan where no answer follows either cue."""
        return self.interval.mean

    @cached_property
    def interval(self) -> Interval:
        """The share of the shape with its interval of 95 %."""
        return share_interval(self.shape, self.shape + self.second)

    def as_dict(self) -> dict[str, Any]:
        """Values for a JSON file, shares as fractions."""
        return {
            "answers": len(self.cues),
            "shape": self.shape,
            "second": self.second,
            "neither": len(self.cues) - self.shape - self.second,
            "shape_share": or_none(self.share),
            "low": or_none(self.interval.low),
            "high": or_none(self.interval.high),
        }
