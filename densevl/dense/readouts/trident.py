"""Trident: the windows of an image become one map, which SAM's attention then spreads over the whole image.

Source: Shi et al., Harnessing Vision Foundation Models for High-Performance, Training-Free Open Vocabulary
Segmentation, ICCV 2025, https://arxiv.org/abs/2411.09219; reference code YuHengsss/Trident at commit a93b346
(Apache-2.0). Three encoders, one after the other:

1. CLIP's values in each window, gathered by the likeness of DINO's tokens: ProxyCLIP's attention, projected by
   ``out_proj``.
2. The windows are spliced: their maps are averaged on the patch grid of the image.
3. With q, k and v of the last block of SAM's image encoder over the whole image, S the cosines of v and A the
   attention, in each of its heads::

       threshold_i = min(cos_fac · mean of S_ij over heads and j, 0.9)       below 0: 0.6 where ``negative_to_06``
       W_ij = mean over heads of (A_ij where S_ij > threshold_i)              rows made to sum to 1

   The map, resized to the cells of SAM's patches on the image, is multiplied by W and goes through CLIP's head.

Settings of the published data sets are ``cos_fac`` 1.2 (VOC20 0, Cityscapes 3) and ``negative_to_06`` for Cityscapes
and ADE20K; stage ``sam-prompts`` is what follows.

Where we differ: SAM sees the windows' own pixels put together, and not the file of the image again, and the padding
beside them takes no part in its attention; a patch that nothing exceeds the threshold of keeps itself, where the
published rule divides by 0; windows may start between patches (a cell of the image is then the mean of what lies on
it) and have any shape.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from densevl.core.errors import UsageError
from densevl.core.features import DenseFeatures
from densevl.core.geometry import Extent
from densevl.core.registry import build
from densevl.dense.contracts import Read
from densevl.dense.guides import GUIDES
from densevl.dense.operations.splice import splice
from densevl.dense.readouts.attention import AttentionReadout
from densevl.encoders.contracts import LastBlock, Needs, Window

__all__ = ["TridentReadout", "image_of_windows", "spread_weights"]

MOST = 0.9
"""No threshold is above this cosine."""

INSTEAD = 0.6
"""The threshold in the place of one below 0."""

VALUES_AT_ONCE = 2**24
"""Pairs of SAM's patches, of all heads, that are held together: 64 MiB in float32."""


class TridentReadout(nn.Module):
    """Read all windows of an image as one map.

    Args:
        guide: which patches of a window belong together, ``dino``: a guide, its config or its name.
        sam: which patches of the image do, a guide with queries, keys and values.
        beta: of the gate of the first stage.
        gamma: of the gate of the first stage.
        cos_fac: factor of the mean cosine that a pair must exceed.
        negative_to_06: whether a threshold below 0 becomes 0.6.
    """

    def __init__(
        self,
        guide: Any = "dino",
        sam: Any = "sam",
        beta: float = 1.2,
        gamma: float = 3.0,
        cos_fac: float = 1.2,
        negative_to_06: bool = False,
    ) -> None:
        super().__init__()
        term = {"pair": "guide", "beta": beta, "gamma": gamma}
        self.first = AttentionReadout([term], tokens="patches", guide=guide, together=True)
        self.sam = build(GUIDES, sam)
        self.cos_fac, self.negative_to_06 = cos_fac, negative_to_06

    @property
    def needs(self) -> Needs:
        """The guide, all windows of an image and their pixels."""
        return Needs(guide=self.first.guide, windows=True, images=True)

    @property
    def name(self) -> str:
        """Its stages and settings."""
        settings = f"sam={self.sam.name}, cos_fac={self.cos_fac}, negative_to_06={self.negative_to_06}"
        return f"trident({self.first.name}, {settings})"

    def forward(self, last: LastBlock) -> Read:
        """One map of the image that the windows were cut from.

        Raises:
            UsageError: where a guide has no queries, keys and values.
        """
        if last.windows is None or last.images is None:
            raise UsageError(f"{self.name} needs all windows of an image, with their boxes and pixels")
        seen = self.sam(image_of_windows(last.images, last.windows, last.extent))
        spliced = splice(self.first(last), last.windows, extent=last.extent)
        cells = (seen.grid.shape[2], seen.grid.shape[3])
        moved = F.interpolate(spliced, cells, mode="bilinear", align_corners=False)
        query, key, value = _heads(seen, self.sam)
        weights = spread_weights(query, key, value, self.cos_fac, self.negative_to_06)
        tokens = weights.to(moved) @ moved[0].flatten(1).mT
        return Read(tokens.mT.unflatten(1, cells)[None], spliced=True)


def image_of_windows(
    images: Float[Tensor, "n 3 h w"], windows: Sequence[Window], extent: Extent | None = None
) -> Float[Tensor, "1 3 H W"]:
    """The image that windows were cut from.

    Args:
        images: pixels of the windows, which may reach beyond their boxes or end before them.
        windows: (left, top, right, bottom) of each in the image.
        extent: where the pixels lie in each window; None for from its upper left corner on.
    """
    left, top = (0, 0) if extent is None else (int(extent[0]), int(extent[1]))
    height, width = max(box[3] for box in windows), max(box[2] for box in windows)
    whole = images.new_zeros(3, height, width)
    lowest = rightmost = 0
    for image, (x0, y0, x1, y1) in zip(images, windows, strict=True):
        inside = image[:, -top : y1 - y0 - top, -left : x1 - x0 - left]
        y, x = y0 + inside.shape[1], x0 + inside.shape[2]
        whole[:, y0:y, x0:x] = inside
        lowest, rightmost = max(lowest, y), max(rightmost, x)
    rest = (0, width - rightmost, 0, height - lowest)  # a border that was dropped goes on as it ends
    return F.pad(whole[None, :, :lowest, :rightmost], rest, mode="replicate") if any(rest) else whole[None]


def spread_weights(
    query: Float[Tensor, "heads n e"],
    key: Float[Tensor, "heads n e"],
    value: Float[Tensor, "heads n f"],
    cos_fac: float = 1.2,
    negative_to_06: bool = False,
) -> Float[Tensor, "n n"]:
    """What each patch of an image gathers from all of them, by the attention of another model; rows sum to 1.

    Args:
        query: of each head, scaled as they enter the softmax.
        key: of each head.
        value: of each head, whose cosines decide which pairs count.
        cos_fac: factor of the mean cosine that a pair must exceed.
        negative_to_06: whether a threshold below 0 becomes 0.6.
    """
    heads, count, _ = query.shape
    query, key, units = query.float(), key.float().mT, F.normalize(value.float(), dim=2)
    weights = query.new_zeros(count, count)
    for some in torch.arange(count, device=query.device).split(max(1, VALUES_AT_ONCE // (heads * count))):
        cosines = units[:, some] @ units.mT
        threshold = (cos_fac * cosines.mean(dim=0).mean(dim=1)).clamp(max=MOST)
        if negative_to_06:
            threshold = torch.where(threshold < 0, INSTEAD, threshold)
        attention = (query[:, some] @ key).softmax(dim=2)
        weights[some] = torch.where(cosines > threshold[:, None], attention, 0).mean(dim=0)
    alone = weights.sum(dim=1) == 0
    weights.diagonal()[alone] = 1
    return weights / weights.sum(dim=1, keepdim=True)


def _heads(seen: DenseFeatures, sam: Any) -> list[Float[Tensor, "heads n e"]]:
    """Queries, keys and values of each head of one image."""
    missing = [name for name in ("query", "key", "value") if name not in seen.maps]
    if missing:
        raise UsageError(
            f"trident spreads features by the attention of a guide, and {sam.name} has no {missing[0]}; take sam"
        )
    maps = (seen.maps[name][0].flatten(1).mT for name in ("query", "key", "value"))
    return [one.unflatten(1, (sam.heads, -1)).transpose(0, 1) for one in maps]
