"""Regions of a map of features, by normalised cuts, with borders that follow colours.

Sources: Shi and Malik, Normalized Cuts and Image Segmentation, IEEE Transactions on Pattern Analysis and Machine
Intelligence 22, 2000; Krähenbühl and Koltun, Efficient Inference in Fully Connected CRFs with Gaussian Edge
Potentials, NeurIPS 2011. With W the affinities of the patches of a region and D the diagonal of their sums, a region
is cut where the second smallest eigenvector y of ::

    (D − W) y = λ D y           λ is the cost of the cut, between 0 and 1 where it is worth it

passes its mean; of all regions so far the cut of least cost is made, until none costs less than a limit. Labels u then
become those of a dense conditional random field with places p and colours I of the patches, by mean field::

    Q_i ← softmax_l(log u_il + Σ_j (w_a e^{−|p_i−p_j|²/2θ_a² − |I_i−I_j|²/2θ_b²} + w_s e^{−|p_i−p_j|²/2θ_s²}) Q_jl)
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

__all__ = ["follow_colours", "normalised_cuts"]

WEAK = 1e-5
"""Affinity of two patches that are not alike; it keeps a graph in one piece."""

SURE = 0.7
"""Probability of the label that a patch had before it follows its colour."""

APPEARANCE, SMOOTHNESS = 10.0, 3.0
"""Weights w_a and w_s of the two kernels."""

COLOUR, NEAR = 13 / 255, 0.5
"""θ_b, in colours between 0 and 1, and θ_s, in patches."""


def normalised_cuts(units: Float[Tensor, "n c"], threshold: float, most: int, limit: float) -> Int64[Tensor, " n"]:
    """The region of each patch, from 0 on, largest first.

    Args:
        units: unit features of the patches of an image.
        threshold: cosines above this count as 1, others as almost 0.
        most: number of regions at most.
        limit: cost of a cut that is not made any more.
    """
    alike = torch.where(units @ units.mT > threshold, 1.0, WEAK)
    labels = torch.zeros(len(units), dtype=torch.int64, device=units.device)
    cuts = {0: _cut(alike, labels == 0)}
    while len(cuts) < most:
        cost, region = min((cost, region) for region, (cost, _) in cuts.items())
        if cost >= limit:
            break
        labels[cuts[region][1]] = len(cuts)
        for part in (region, len(cuts)):
            cuts[part] = _cut(alike, labels == part)
    sizes = torch.bincount(labels, minlength=len(cuts))
    rank = sizes.argsort(descending=True, stable=True).argsort()
    return rank[labels]


def _cut(alike: Float[Tensor, "n n"], inside: Bool[Tensor, " n"]) -> tuple[float, Int64[Tensor, " m"]]:
    """The cost of the best cut of a region, and the patches that it takes away; infinite where there is none."""
    members = inside.nonzero().squeeze(1)
    if len(members) < 2:
        return float("inf"), members[:0]
    weights = alike[members][:, members]
    scale = weights.sum(1).rsqrt()
    laplacian = torch.eye(len(members)).to(weights) - scale[:, None] * weights * scale
    costs, vectors = torch.linalg.eigh(laplacian.cpu().double())  # not every device knows it
    second = vectors[:, 1].to(weights) * scale
    away = second > second.mean()
    if away.sum() * 2 > len(members):  # the sign of an eigenvector means nothing: the smaller part goes
        away = ~away
    if not away.any() or away.all():
        return float("inf"), members[:0]
    return float(costs[1]), members[away]


def follow_colours(
    labels: Int64[Tensor, "h w"], colours: Float[Tensor, "3 h w"], reach: float, steps: int
) -> Int64[Tensor, "h w"]:
    """Labels whose borders follow the colours of the patches.

    Args:
        labels: from 0 on.
        colours: RGB in [0, 1].
        reach: θ_a, in patches.
        steps: of the mean field.
    """
    height, width = labels.shape
    count = int(labels.max()) + 1
    if count == 1 or steps == 0:
        return labels
    rows, columns = torch.arange(height).to(colours), torch.arange(width).to(colours)
    places = torch.cartesian_prod(rows, columns)
    apart = torch.cdist(places, places).square()
    shown = colours.flatten(1).mT
    unlike = torch.cdist(shown, shown).square()
    kernel = APPEARANCE * torch.exp(-apart / (2 * reach**2) - unlike / (2 * COLOUR**2))
    kernel = kernel + SMOOTHNESS * torch.exp(-apart / (2 * NEAR**2))
    kernel.fill_diagonal_(0)
    sure = F.one_hot(labels.flatten(), count).to(colours) * (SURE - (1 - SURE) / (count - 1)) + (1 - SURE) / (count - 1)
    shares = sure
    for _ in range(steps):
        shares = (sure.log() + kernel @ shares).softmax(dim=1)
    return shares.argmax(dim=1).view(height, width)
