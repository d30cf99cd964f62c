"""Winoground's scores: which caption is that of which image, where both are made of the same words.

Source: Thrush et al., CVPR 2022, https://arxiv.org/abs/2204.03162, equations 1 to 3. With s(C, I) the similarity of a
caption and an image, of the two pairs (C₀, I₀) and (C₁, I₁)::

    text   1 where s(C₀, I₀) > s(C₁, I₀) and s(C₁, I₁) > s(C₀, I₁): each image finds its caption
    image  1 where s(C₀, I₀) > s(C₀, I₁) and s(C₁, I₁) > s(C₁, I₀): each caption finds its image
    group  1 where both are

Guessing gives 1/4, 1/4 and 1/6. Equal similarities are never right.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from densevl.core.errors import UsageError

__all__ = ["CHANCE", "MatchingScores", "matching_scores"]


class MatchingScores(NamedTuple):
    """Which pairs are right.

    Attributes:
        text: each image finds its caption.
        image: each caption finds its image.
        group: both.
    """

    text: Bool[np.ndarray, " n"]
    image: Bool[np.ndarray, " n"]
    group: Bool[np.ndarray, " n"]


CHANCE = {"text": 1 / 4, "image": 1 / 4, "group": 1 / 6}
"""Shares that are right by guessing."""


def matching_scores(similarities: Float[np.ndarray, "n 2 2"]) -> MatchingScores:
    """The scores of pairs.

    Args:
        similarities: ``[pair, caption, image]``.

    Raises:
        UsageError: where one is not finite.
    """
    if not np.isfinite(similarities).all():
        raise UsageError("similarities of captions and images must be finite numbers; got some that are not")
    first, second = similarities[:, 0], similarities[:, 1]
    text = (first[:, 0] > second[:, 0]) & (second[:, 1] > first[:, 1])
    image = (first[:, 0] > first[:, 1]) & (second[:, 1] > second[:, 0])
    return MatchingScores(text, image, text & image)
