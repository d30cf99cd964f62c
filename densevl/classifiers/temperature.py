"""Temperature scaling: one number that makes the probabilities of a classifier as sure as they are right.

Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017, https://arxiv.org/abs/1706.04599, section 4.2.
The logits are multiplied by β, the inverse of the paper's temperature, that maximises the likelihood of held-out
labels. The mean log-likelihood is concave in β and its slope is::

    mean over i of  z_i[y_i] − Σ_k softmax(β z_i)_k z_i[k]

so its root is found by bisection instead of the paper's gradient descent. No answer changes, only how sure it is.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from densevl.core.errors import UsageError

__all__ = ["fit_sharpness"]

LEAST, MOST = 1e-4, 1e4
"""Limits of the factor: where all held-out answers are right, no factor would be large enough."""


def fit_sharpness(logits: Float[Tensor, "n k"], labels: Int[Tensor, " n"]) -> float:
    """The factor of logits that makes their softmax the likeliest, from :data:`LEAST` to :data:`MOST`.

    Args:
        logits: of held-out examples; −∞ for a class that cannot be given.
        labels: true class of each.

    Raises:
        UsageError: where there is no example, or a true class has no finite logit.
    """
    values = logits.detach().double()
    true = values.gather(1, labels.to(values.device)[:, None])[:, 0]
    if not len(values) or not true.isfinite().all():
        raise UsageError("probabilities are calibrated on examples whose true class has a finite score; got others")
    low, high = torch.tensor([LEAST, MOST], dtype=torch.float64).log()
    for _ in range(60):
        middle = (low + high) / 2
        shares = (middle.exp() * values).softmax(1)
        slope = (true - (shares * values.where(shares > 0, 0)).sum(1)).mean()
        low, high = (middle, high) if slope > 0 else (low, middle)
    return float(((low + high) / 2).exp())
