"""CASS's part for texts: some are moved towards the image, and the whole image has a say.

Source: Kim et al., Distilling Spectral Graph for Object-Context Aware Open-Vocabulary Semantic Segmentation, CVPR 2025,
https://arxiv.org/abs/2411.17150. In each window, with unit vectors t of queries, f of patches and f_0 of the whole::

    clusters of queries by Ward's method on 1 − t_a·t_b, up to the height h
    of each cluster the query that f_0 is most like:   t ← unit((1 − α) t + α mean of its 2 best patches)
    score = (1 − g) f·t + g f_0·t

α, g and h differ from data set to data set in the publication; the usual ones here lie between them. Its code has no
licence: this follows published descriptions. Windows are taken one by one.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.core.features import DenseFeatures, TextEmbeddings
from densevl.dense.contracts import named
from densevl.dense.operations.ward import ward_clusters
from densevl.encoders.contracts import Needs

__all__ = ["CASSTexts"]

PATCHES = 2
"""Patches that a text is moved to."""


@dataclass(frozen=True)
class CASSTexts:
    """Texts moved to an image, as a stage of a segmentor; see above.

    Attributes:
        alpha: how far a text is moved, in [0, 1].
        share: g, of the whole image, in [0, 1].
        height: h, of the clusters.
    """

    alpha: float = 0.02
    share: float = 0.2
    height: float = 0.1

    needs = Needs(texts=True)
    acts_on = "cosines"

    def __post_init__(self) -> None:
        if not (0 <= self.alpha <= 1 and 0 <= self.share <= 1 and self.height >= 0):
            raise UsageError(
                "cass-texts takes alpha and share between 0 and 1, and a height of 0 or more; "
                f"got {self.alpha}, {self.share} and {self.height}"
            )

    @property
    def name(self) -> str:
        """Its kind and settings."""
        return named("cass-texts", self)

    def __call__(
        self, cosines: Float[Tensor, "n q h w"], features: DenseFeatures, texts: TextEmbeddings
    ) -> Float[Tensor, "n q h w"]:
        """Cosines with the moved texts, and with the whole.

        Raises:
            UsageError: where there is no vector of the whole image, or the cosines are of other queries.
        """
        if features.whole is None or len(texts.vectors) != cosines.shape[1]:
            raise UsageError(
                "cass-texts compares the queries with the whole image, of which the features say nothing; "
                "take readout=cass"
            )
        vectors = texts.vectors.to(cosines)
        clusters = ward_clusters((1 - vectors @ vectors.mT).clamp(min=0), self.height)
        whole = F.normalize(features.whole.to(cosines), dim=1) @ vectors.mT
        best = _best_of_clusters(whole, clusters)
        patches = F.normalize(features.grid.to(cosines).flatten(2).mT, dim=2)
        nearest = cosines.flatten(2).topk(min(PATCHES, patches.shape[1]), dim=2).indices
        shown = torch.stack([some[places].mean(1) for some, places in zip(patches, nearest, strict=True)])
        moved = F.normalize((1 - self.alpha) * vectors + self.alpha * shown, dim=2)
        asked = torch.where(best[..., None], moved, vectors)
        local = (patches @ asked.mT).mT.unflatten(2, cosines.shape[2:])
        return (1 - self.share) * local + self.share * whole[:, :, None, None]


def _best_of_clusters(scores: Float[Tensor, "n q"], clusters: Tensor) -> Tensor:
    """True for the query of each cluster that scores best, the first of those that tie."""
    best = torch.zeros_like(scores, dtype=torch.bool)
    for cluster in clusters.unique():
        members = (clusters == cluster).nonzero().squeeze(1)
        winners = members[scores[:, members].argmax(1)]
        best[torch.arange(len(scores), device=scores.device), winners] = True
    return best
