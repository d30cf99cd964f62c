"""Composition: a vector moved towards the vectors of the things that a text names, each as far as it suits its words.

Source: Jiang et al., ComCLIP: Training-Free Compositional Image and Text Matching, NAACL 2024,
https://arxiv.org/abs/2211.13854; reference code eric-ai-lab/ComCLIP at commit 75ef16e (MIT), its Winoground branch.
With unit vectors I of a picture, P_j of its part with entity j of the text, and t_j of the words for that entity::

    w_j = P_j · t_j / Σ_i P_i · t_i        I' = unit(I + Σ_j w_j P_j)        score = I' · text

Where we differ: the paper blacks out all but one entity, asks a language model for the entities and a captioner for
their boxes. Here the parts are regions, whose vectors are at hand, and the phrases of the parser are the entities: a
region is the part of the first phrase itself, and the other region that is nearest to a further phrase is the part of
that phrase.
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from densevl.core.regions import RegionEmbeddings

__all__ = ["composed", "composed_regions", "parts_of_regions"]

LEAST = 1e-6
"""Sum of the cosines below which parts suit their words too badly to move anything."""


def composed(
    whole: Float[Tensor, "*n d"], parts: Float[Tensor, "*n p d"], words: Float[Tensor, "p d"]
) -> Float[Tensor, "*n d"]:
    """Unit vectors of wholes that were moved towards their parts; as they are where the cosines of a whole add up to 0.

    Args:
        whole: unit vectors.
        parts: unit vectors of the part of each entity.
        words: unit vectors of the words for each entity.
    """
    cosines = (parts * words).sum(-1)
    total = cosines.sum(-1, keepdim=True)
    weights = torch.where(total.abs() > LEAST, cosines / total, 0.0)
    return F.normalize(whole + (weights[..., None] * parts).sum(-2), dim=-1)


def parts_of_regions(vectors: Float[Tensor, "n d"], words: Float[Tensor, "p d"]) -> Float[Tensor, "n p d"]:
    """The part of each phrase as seen from each region of an image.

    The first phrase means the region itself. Each further one means the other region whose cosine with it is largest;
    in an image of one region that is the region, too.

    Args:
        vectors: unit vectors of the regions of one image, at least one.
        words: unit vectors of the phrases, the one for the region itself first.
    """
    cosines = vectors @ words.mT
    best = cosines.topk(min(2, len(vectors)), dim=0).indices
    rows = torch.arange(len(vectors), device=vectors.device)[:, None]
    nearest = torch.where(rows == best[0], best[-1], best[0])
    nearest[:, 0] = rows[:, 0]
    return vectors[nearest]


def composed_regions(embeddings: RegionEmbeddings, words: Float[Tensor, "p d"]) -> RegionEmbeddings:
    """The regions of an image, each composed with its parts; where it was looked at in several ways, each look by
    itself.

    Args:
        embeddings: of the regions of one image.
        words: unit vectors of the phrases, the one for the region itself first.
    """

    def moved(vectors: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        own = words.to(vectors)
        return composed(vectors, parts_of_regions(vectors, own), own)

    looks = {name: moved(vectors) for name, vectors in embeddings.parts.items()}
    return replace(embeddings, vectors=moved(embeddings.vectors), parts=looks)
