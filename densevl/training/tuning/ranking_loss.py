"""What the ranking-aware adapter makes small: errors of scores, and pairs in the wrong order.

Source: Yu et al., Ranking-aware adapter for text-driven image ordering with CLIP, ICLR 2025,
https://arxiv.org/abs/2412.06760, equations of its regression and its ranking loss; weights as in the reference,
uynaes/RankingAwareCLIP at commit 05fc5c5::

    w log(1 + smooth L1(s, y)) + mean over i, j of BCE(p_ij, y_i > y_j)

A pair of an image with itself counts as one that is not larger, as in the reference.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

__all__ = ["ranking_loss"]

WEIGHT = 0.2


def ranking_loss(
    scores: Float[Tensor, " n"], pairs: Float[Tensor, "n n"], targets: Float[Tensor, " n"], weight: float = WEIGHT
) -> Float[Tensor, ""]:
    """The loss of images that were scored for one text.

    Args:
        scores: of each image.
        pairs: logits of image i having more than image j.
        targets: true scores.
        weight: of the errors of scores.
    """
    larger = (targets[:, None] > targets).to(pairs.dtype)
    errors = torch.log1p(F.smooth_l1_loss(scores, targets))
    return weight * errors + F.binary_cross_entropy_with_logits(pairs, larger)
