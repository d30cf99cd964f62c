"""Regions embedded by Alpha-CLIP: one pass of the ViT a region, which sees the whole image and its mask.

Source: Sun et al., CVPR 2024, see :mod:`densevl.encoders.towers.alpha`. As in the authors' evaluation of referring
expressions (``--square_size``), image and mask are squashed to the native size: a centre crop, as CLIP's own, might cut
a region away. Where we differ: a region without a mask, or with an empty one, is its filled box; the authors have SAM
make a mask of every box. A mask maker does that here, too.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn
from torchvision.transforms.functional import InterpolationMode, resize
from tqdm import tqdm

from densevl.core.errors import UsageError
from densevl.core.gradients import frozen
from densevl.core.images import normalise
from densevl.core.regions import RegionEmbeddings, Regions
from densevl.core.registry import build
from densevl.encoders import ENCODERS
from densevl.encoders.clip import CLIPEncoder
from densevl.encoders.images import fit
from densevl.encoders.towers.alpha import sees_masks, with_alpha
from densevl.regions.embedders.embedder import RegionEmbedder, on_device

__all__ = ["AlphaRegions"]


class AlphaRegions(nn.Module, RegionEmbedder):
    """Embeds each region by a pass of Alpha-CLIP over the image, with the region's mask as the fourth channel.

    Args:
        encoder: an Alpha-CLIP; built, or a config.
        use_masks: False looks at boxes also where there are masks.
        batch: regions that are embedded at once.

    Raises:
        UsageError: where the encoder takes no masks, or the batch is empty.
    """

    def __init__(self, encoder: CLIPEncoder | Mapping[str, Any], use_masks: bool = True, batch: int = 32) -> None:
        super().__init__()
        built = build(ENCODERS, encoder)
        if not isinstance(built, CLIPEncoder) or not sees_masks(built.image):
            raise UsageError(
                f"alpha-clip needs an encoder that sees masks; {getattr(built, 'model_id', type(built).__name__)!r} "
                "does not: take weights of Alpha-CLIP with arch='alpha-clip-b16' and base='clip-vit-b16-openai'"
            )
        if batch < 1:
            raise UsageError(f"batch must be at least 1; got {batch}")
        self.encoder: CLIPEncoder = built
        self.use_masks, self.batch = use_masks, batch

    @property
    def reads_masks(self) -> bool:
        """True where a vector depends on the mask of its region, if it has one."""
        return self.use_masks

    @property
    def protocol(self) -> dict[str, Any]:
        """Everything that decides a vector, for reports: JSON values only."""
        return {"type": "alpha-clip", "encoder": self.encoder.model_id, "use_masks": self.use_masks}

    @frozen
    def embed(self, image: UInt8[np.ndarray, "H W 3"], regions: Regions) -> RegionEmbeddings:
        """Embed the regions of an image.

        Raises:
            UsageError: where the regions are of another image.
        """
        encoder = self.encoder
        if regions.size != image.shape[:2]:
            raise UsageError(f"the regions belong to an image of {regions.size}; this one is {image.shape[:2]}")
        pixels = on_device(torch.from_numpy(image).permute(2, 0, 1)[None], encoder.device)
        whole = normalise(fit(pixels, encoder.image_size, "squash"), encoder.mean, encoder.std).to(encoder.dtype)
        found = [torch.zeros(0, encoder.dim, device=encoder.device)]
        with tqdm(total=len(regions), desc="regions", delay=2, leave=False, disable=None) as progress:
            for start in range(0, len(regions), self.batch):
                some = self._masks(regions[start : start + self.batch])
                marked = with_alpha(whole.expand(len(some), -1, -1, -1), some)
                found.append(F.normalize(encoder.image.embed(marked).float(), dim=1))
                progress.update(len(some))
        return RegionEmbeddings(torch.cat(found), encoder.model_id)

    def _masks(self, regions: Regions) -> Float[Tensor, "n h w"]:
        """Masks at the native size, bilinear with antialiasing; those of boxes where there are none or empty ones."""
        masks = filled_boxes(regions)
        if self.use_masks and regions.masks is not None:
            masks = torch.where(regions.masks.flatten(1).any(1)[:, None, None], regions.masks, masks)
        size = list(self.encoder.image_size)
        return resize(masks.to(self.encoder.device).float(), size, InterpolationMode.BILINEAR, antialias=True)


def filled_boxes(regions: Regions) -> Bool[Tensor, "n H W"]:
    """The pixels that each box touches, at least one."""
    height, width = regions.size
    x0, y0, x1, y1 = regions.boxes[..., None].unbind(1)
    rows, columns = (torch.arange(n, device=regions.device) for n in (height, width))
    down, right = (rows + 1 > y0) & (rows < y1), (columns + 1 > x0) & (columns < x1)
    return down[:, :, None] & right[:, None]
