"""CLOC's losses: images against captions, regions against region texts, and boxes found by text.

Source: Chen et al., Contrastive Localized Language-Image Pre-Training (CLOC), ICML 2025, https://arxiv.org/abs/2410.02746::

    L = L_CLIP + λ (L_CLOC + L_ground),   λ = images with region texts / images

- L_CLIP: symmetric InfoNCE between images and captions;
- L_CLOC: the same between regions and region texts, without the pairs of different regions whose texts are alike:
  cos(f_T, f_T) > 0.9, where f_T is taken as given;
- L_ground: mean of the squared errors of the four coordinates of a box.

All of them run over the batches of all processes together. Every process computes all of each loss, from vectors that
are gathered with their gradients; a gradient then arrives as the sum over the processes, and the mean over processes
that data-parallel training takes of it is the gradient of the joint batch.
"""

from collections.abc import Sequence

import torch
import torch.distributed as dist
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.distributed.nn.functional import all_gather

__all__ = ["alike", "clip_loss", "cloc_losses", "contrast", "gather", "ground_loss", "sample_regions"]

ALIKE = 0.9
"""Cosine above which two texts count as alike."""


def clip_loss(
    images: Float[Tensor, "b d"], captions: Float[Tensor, "b d"], scale: Float[Tensor, ""]
) -> Float[Tensor, ""]:
    """L_CLIP over all processes, from unit vectors of the images and captions of this one."""
    return contrast(gather(images), gather(captions), scale)


def cloc_losses(
    regions: Float[Tensor, "r d"],
    texts: Float[Tensor, "r d"],
    scale: Float[Tensor, ""],
    found: Float[Tensor, "r 4"] | None,
    boxes: Float[Tensor, "r 4"],
    described: Bool[Tensor, " b"],
    threshold: int | float | None = ALIKE,
) -> dict[str, Float[Tensor, ""]]:
    """λ L_CLOC as ``loss_cloc``, λ L_ground as ``loss_ground`` and λ as ``share``, over all processes.

    Without any region text in the whole batch all three are 0, and so are the gradients.

    Args:
        regions: unit vectors of the sampled regions of this process, of all its images.
        texts: unit vectors of their texts.
        scale: factor of the cosines.
        found: box that was found for each text; None leaves L_ground out.
        boxes: box of each region, as fractions of the padded image.
        described: whether each image of this process has region texts.
        threshold: cosine above which two texts count as alike; None for no such filter.
    """
    regions, texts, share = gather(regions), gather(texts), gather(described.to(regions.dtype)).mean()
    negative = None if threshold is None else ~alike(texts, threshold)
    losses = {"loss_cloc": share * contrast(regions, texts, scale, negative)}
    if found is not None:
        losses["loss_ground"] = share * ground_loss(gather(found), gather(boxes))
    return {**losses, "share": share}


def contrast(
    first: Float[Tensor, "n d"],
    second: Float[Tensor, "n d"],
    scale: Float[Tensor, ""],
    negative: Bool[Tensor, "n n"] | None = None,
) -> Float[Tensor, ""]:
    """Symmetric InfoNCE of pairs: the mean of both directions; 0 where there is no pair.

    Args:
        first: unit vectors.
        second: unit vectors, each the partner of the one in the same place.
        scale: factor of the cosines.
        negative: symmetric; which pairs of different places count in the denominators. None for all. Where a row has
            none, its loss is 0.
    """
    if len(first) == 0:
        return (first.sum() + second.sum()) * scale * 0
    logits = scale * first @ second.mT
    own = logits.diagonal()
    if negative is not None:
        away = ~negative & ~torch.eye(len(logits), dtype=torch.bool, device=logits.device)
        logits = logits.masked_fill(away, float("-inf"))
    return (logits.logsumexp(1) - own + logits.logsumexp(0) - own).mean() / 2


@torch.no_grad()
def alike(texts: Float[Tensor, "n d"], threshold: int | float = ALIKE) -> Bool[Tensor, "n n"]:
    """Pairs of texts whose cosine is above the threshold."""
    units = F.normalize(texts, dim=1)
    return units @ units.mT > threshold


def ground_loss(found: Float[Tensor, "n 4"], boxes: Float[Tensor, "n 4"]) -> Float[Tensor, ""]:
    """Mean over regions and coordinates of the squared errors; 0 where there is no region."""
    return F.mse_loss(found, boxes) if len(found) else found.sum() * 0


def sample_regions(
    counts: Sequence[int], most: int = 4, generator: torch.Generator | None = None
) -> list[Int[Tensor, " _"]]:
    """Numbers of the regions of each image that are used: ``most`` at random without repetition, or all that there are.

    Args:
        counts: number of regions of each image.
        most: M.
        generator: where the random numbers come from; the same state gives the same regions.
    """
    return [torch.randperm(count, generator=generator)[:most].sort().values for count in counts]


def gather(values: Float[Tensor, "n ..."]) -> Float[Tensor, "_ ..."]:
    """The rows of all processes, in the order of the processes, with gradient; each may have another number, or none.

    Without distribution these are the rows as they are.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return values
    count = torch.tensor([len(values)], device=values.device)
    counts = [torch.empty_like(count) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, count)
    lengths = [int(n) for n in counts]
    if not any(lengths):
        return values
    padded = torch.cat([values, values.new_zeros(max(lengths) - len(values), *values.shape[1:])])
    gathered = all_gather(padded.contiguous())
    return torch.cat([rows[:length] for rows, length in zip(gathered, lengths, strict=True)])
