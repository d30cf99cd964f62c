"""The teachers of CLIP-DINOiser: a self-supervised ViT that tells which patches belong together, and FOUND's decoder.

Source: Wysoczańska et al., CLIP-DINOiser, ECCV 2024, https://arxiv.org/abs/2312.12359; reference code
wysoczanska/clip_dinoiser at commit a954aae. Patches are alike where the cosine of their values in the last block of
DINO (ViT-B/16, heads concatenated, no class token) exceeds γ = 0.2; a patch shows a thing where FOUND, on the keys of
DINO ViT-S/8, gives more than even odds. They teach the heads (:meth:`Teachers.targets`), or stand in for them at
inference.

Convention: where a teacher has another patch size than the features, its maps are read bilinearly at the centres of the
features' patches (in the usual case, 16 against 8 pixels, the mean of four), as ``interpolate`` does where both grids
cover the same pixels. The probabilities of FOUND are read so, not its logits, as in the reference code.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32
from torch import Tensor, nn

from densevl.core.errors import UsageError, WeightsError
from densevl.core.features import DenseFeatures
from densevl.core.geometry import Size
from densevl.core.registry import build
from densevl.dense.refiners.affinity import pair_cosines, pool_by_cosine
from densevl.dense.refiners.found import FoundDecoder, build_found
from densevl.dense.refiners.sub_patches import whole_patches
from densevl.encoders import ENCODERS
from densevl.encoders.contracts import Encoder, Needs
from densevl.encoders.dino import DINOEncoder

__all__ = ["Teachers", "read_at_patches"]


def read_at_patches(
    maps: Float[Tensor, "b c h w"], patch_size: int, grid: Size, grid_patch_size: int
) -> Float[Tensor, "b c h2 w2"]:
    """Read maps bilinearly at the centres of the patches of another grid.

    Convention: both grids begin at the upper-left corner of the image; beyond its outermost centres a map goes on as
    it ends.

    Args:
        maps: on a grid of patches of ``patch_size`` pixels.
        patch_size: of the maps.
        grid: patches (down, right) to read at.
        grid_patch_size: their side in pixels.
    """
    if patch_size == grid_patch_size:
        return maps[:, :, : grid[0], : grid[1]]
    sides = zip(grid, maps.shape[2:], strict=True)
    ratio = grid_patch_size / patch_size
    ys, xs = (((torch.arange(n, device=maps.device) + 0.5) * ratio / length) * 2 - 1 for n, length in sides)
    places = torch.stack(torch.meshgrid(xs, ys, indexing="xy"), dim=-1).to(maps).expand(len(maps), -1, -1, -1)
    return F.grid_sample(maps, places, mode="bilinear", padding_mode="border", align_corners=False)


class Teachers(nn.Module):
    """Affinities of a ViT and the mask of a foreground decoder, as targets of a training or in place of the heads.

    Args:
        encoder: the ViT whose last block tells affinities, with ``project(images, part)`` as
            :class:`densevl.encoders.dino.DINOEncoder` has it, or its config.
        part: what of the last block is compared: ``"value"``, ``"key"`` or ``"query"``.
        gamma: cosines up to this count as 0; from 0 up to 1.
        foreground_encoder: the ViT whose keys the decoder reads, or its config; None takes ``encoder``.
        decoder: maps these keys to foreground logits "b h w": a module, or the weights of FOUND, or the arguments of
            :func:`build_found`; None for no foreground.

    Attributes:
    Raises:
        UsageError: where gamma is out of range.
        WeightsError: where the decoder was made for keys of another width.
    """

    needs = Needs(images=True)

    def __init__(
        self,
        encoder: DINOEncoder | Mapping[str, Any],
        part: str = "value",
        gamma: float = 0.2,
        foreground_encoder: DINOEncoder | Mapping[str, Any] | None = None,
        decoder: Any = None,
    ) -> None:
        super().__init__()
        if not 0 <= gamma < 1:
            raise UsageError(f"gamma is the least cosine that counts, from 0 up to 1; got {gamma}")
        self.encoder = build(ENCODERS, encoder)
        self.part, self.gamma = part, gamma
        self.foreground_encoder = build(ENCODERS, foreground_encoder)
        self.decoder = _decoder(decoder)
        _check_decoder(self.decoder, self.foreground_encoder or self.encoder)
        self.eval().requires_grad_(False)

    @property
    def finds_foreground(self) -> bool:
        """True where there is a decoder."""
        return self.decoder is not None

    @property
    def name(self) -> str:
        """The name in reports."""
        seer = "" if self.decoder is None else f", foreground by {(self.foreground_encoder or self.encoder).model_id}"
        return f"teachers {self.encoder.model_id}, {self.part}, gamma {self.gamma:g}{seer}"

    def check(self, encoder: Encoder) -> None:
        """Teachers look at the image itself and fit every encoder."""

    @torch.no_grad()
    def descriptors(self, images: Float[Tensor, "b 3 H W"], patch_size: int) -> Float[Tensor, "b c h w"]:
        """The vectors whose cosines are the affinities, at the patches of an encoder.

        Args:
            images: RGB in [0, 1]; continued in black at the right and the bottom to whole patches of the encoder.
            patch_size: of the encoder.
        """
        images = whole_patches(images, patch_size)
        maps = F.normalize(self.encoder.project(images, self.part).float(), dim=1)
        return read_at_patches(maps, self.encoder.patch_size, _grid(images, patch_size), patch_size)

    @torch.no_grad()
    def foreground(self, images: Float[Tensor, "b 3 H W"], patch_size: int) -> Float32[Tensor, "b h w"] | None:
        """Probability of each patch of an encoder showing a thing; None where there is no decoder.

        Args:
            images: RGB in [0, 1]; continued in black to whole patches of the encoder.
            patch_size: of the encoder.
        """
        if self.decoder is None:
            return None
        images, seer = whole_patches(images, patch_size), self.foreground_encoder or self.encoder
        probabilities = self.decoder(seer.project(images, "key")).float().sigmoid()
        return read_at_patches(probabilities[:, None], seer.patch_size, _grid(images, patch_size), patch_size)[:, 0]

    @torch.no_grad()
    def targets(
        self,
        images: Float[Tensor, "b 3 H W"],
        patch_size: int,
        sub_patch: int | None = None,
        radius: int | float | None = None,
    ) -> tuple[Bool[Tensor, "b n k"], Bool[Tensor, "b h w"] | None]:
        """The pairs of an encoder's patches that are alike, in reading order, and the patches that show a thing.

        Args:
            images: RGB in [0, 1]; continued in black to whole patches of the encoder.
            patch_size: of the encoder.
            sub_patch: side of the sub-patches of the pairs; None, as published, for patches.
            radius: of the pairs; None, as published, for all.
        """
        images = whole_patches(images, patch_size)
        affinity = pair_cosines(self.descriptors(images, sub_patch or patch_size), radius)
        foreground = self.foreground(images, patch_size)
        return affinity > self.gamma, None if foreground is None else foreground > 0.5

    def forward(self, features: DenseFeatures, images: Float[Tensor, "b 3 H W"]) -> DenseFeatures:
        """Pool features by the affinities of their images, and add the foreground where there is a decoder.

        Args:
            features: of the images.
            images: RGB in [0, 1]; continued in black to whole patches of the encoder.
        """
        descriptors = self.descriptors(images, features.patch_size)
        grid = pool_by_cosine(features.grid, descriptors, self.gamma).to(features.grid)
        foreground = self.foreground(images, features.patch_size)
        logits = features.foreground if foreground is None else foreground.logit(1e-6)
        return replace(features, grid=grid, foreground=logits)


def _decoder(decoder: Any) -> Any:
    if isinstance(decoder, Mapping):
        return build_found(**decoder)
    return build_found(decoder) if isinstance(decoder, str | Path) else decoder


def _check_decoder(decoder: Any, encoder: DINOEncoder) -> None:
    if isinstance(decoder, FoundDecoder) and decoder.in_channels != encoder.width:
        raise WeightsError(
            f"FOUND's decoder reads keys of width {decoder.in_channels}, and {encoder.model_id} has {encoder.width}; "
            "take the encoder that it was made for (DINO ViT-S/8 for the published one)"
        )


def _grid(images: Float[Tensor, "b 3 H W"], patch_size: int) -> Size:
    return images.shape[2] // patch_size, images.shape[3] // patch_size
