"""CLIP Surgery's removal of what all texts have in common, and CLIPtrase's scores of the whole image."""

from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.core.features import DenseFeatures, TextEmbeddings
from densevl.dense.contracts import named
from densevl.encoders.contracts import Needs

__all__ = ["ClassScores", "Redundancy"]


@dataclass(frozen=True)
class Redundancy:
    """Remove from the cosines of each text what all texts have in common.

    Source: Li et al., A Closer Look at the Explainability of Contrastive Language-Image Pre-training, Pattern
    Recognition 2025, https://arxiv.org/abs/2304.05653; reference commit d4696d4. With f a patch, f_0 the whole image
    and t_c the texts, all unit vectors::

        w = softmax_c(t · f_0 · t_c)       w ← w / mean w
        s_c = w_c f·t_c − mean_c'(w_c' f·t_c')

    Attributes:
        temperature: t, factor of the cosines of the whole image.
    """

    temperature: int | float = 2.0

    needs = Needs(texts=True)
    acts_on = "cosines"

    @property
    def name(self) -> str:
        """Its kind and settings."""
        return named("redundancy", self)

    def __call__(
        self, cosines: Float[Tensor, "n q h w"], features: DenseFeatures, texts: TextEmbeddings
    ) -> Float[Tensor, "n q h w"]:
        """Cosines less what all texts have in common, window by window.

        Raises:
            UsageError: where there is one text alone, or no vector of the whole image.
        """
        if cosines.shape[1] < 2:
            raise UsageError(
                "redundancy takes from each text what all have in common, which of one text is everything; give two "
                "or more, or leave the stage out"
            )
        weights = (self.temperature * _of_whole_images(self.name, features, texts)).softmax(1)
        weighted = cosines * (weights / weights.mean(1, keepdim=True)).to(cosines)[:, :, None, None]
        return weighted - weighted.mean(1, keepdim=True)


@dataclass(frozen=True)
class ClassScores:
    """Multiply the cosines of patches by those of the whole image, text by text.

    Source: Shao et al., Explore the Potential of CLIP for Training-Free Open Vocabulary Semantic Segmentation, ECCV
    2024; reference code leaves162/CLIPtrase at commit 2b7de61, which does so on VOC20. Where two cosines are negative,
    their product is not: the published rule, which real texts of CLIP do not meet.
    """

    needs = Needs(texts=True)
    acts_on = "cosines"

    @property
    def name(self) -> str:
        """Its kind."""
        return named("class-scores", self)

    def __call__(
        self, cosines: Float[Tensor, "n q h w"], features: DenseFeatures, texts: TextEmbeddings
    ) -> Float[Tensor, "n q h w"]:
        """Products of cosines, window by window.

        Raises:
            UsageError: where there is no vector of the whole image.
        """
        return cosines * _of_whole_images(self.name, features, texts).to(cosines)[:, :, None, None]


def _of_whole_images(name: str, features: DenseFeatures, texts: TextEmbeddings) -> Float[Tensor, "n q"]:
    """Cosines of the texts with each window as a whole."""
    if features.whole is None or len(features.whole) != len(features.grid):
        raise UsageError(
            f"{name} needs a vector of the whole image, which the readout did not make; take one that does, such as "
            "gem, clip-surgery or cliptrase"
        )
    whole = F.normalize(features.whole.float(), dim=1)
    return whole @ texts.vectors.to(whole).mT
