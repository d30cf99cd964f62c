"""Training of CLIP-DINOiser's heads on images without labels.

Source: Wysoczańska et al., CLIP-DINOiser: Teaching CLIP a few DINO tricks for open-vocabulary semantic segmentation,
ECCV 2024, https://arxiv.org/abs/2312.12359; reference code wysoczanska/clip_dinoiser at commit a954aae. The CLIP
encoder and the teachers are frozen. With A the cosines of the patches' descriptors, s the foreground logits of the
patches, and what the teachers say of the same image (two patches show the same thing; a patch shows a thing)::

    loss = BCE(sigmoid(max(A, 0)), same) + BCE(sigmoid(s), thing)

The cosines go in as logits, as in the reference code: no affinity can say "not the same" better than at even odds, so
the first loss cannot fall below the fraction of pairs that the teacher finds different, times log 2.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from torch import Tensor, nn

from densevl.core.registry import build
from densevl.dense.refiners import REFINERS
from densevl.dense.refiners.affinity import pair_cosines, pairs_within
from densevl.dense.refiners.dinoiser import TAPPED, DinoiserRefiner
from densevl.dense.refiners.sub_patches import whole_patches
from densevl.encoders import ENCODERS
from densevl.encoders.clip import CLIPEncoder

__all__ = ["DinoiserTraining", "affinity_loss", "foreground_loss"]


def affinity_loss(
    affinity: Float[Tensor, "b n k"], same: Bool[Tensor, "b n k"], counted: Bool[Tensor, "n k"] | None = None
) -> Float[Tensor, ""]:
    """Binary cross-entropy of all pairs of patches, negative affinities taken as 0.

    Args:
        affinity: cosines of each patch with k others, taken as logits.
        same: whether the teacher finds the patches of a pair alike.
        counted: the pairs that count; None for all.
    """
    losses = F.binary_cross_entropy_with_logits(affinity.clamp(min=0), same.to(affinity), reduction="none")
    return losses.mean() if counted is None else losses[:, counted].mean()


def foreground_loss(logits: Float[Tensor, "b h w"], thing: Bool[Tensor, "b h w"]) -> Float[Tensor, ""]:
    """Binary cross-entropy of all patches.

    Args:
        logits: of a patch showing a thing rather than background.
        thing: whether the teacher finds one there.
    """
    return F.binary_cross_entropy_with_logits(logits, thing.to(logits))


@MODELS.register_module()
class DinoiserTraining(BaseModel):
    """The heads with their losses, as MMEngine runs them.

    Parameters, state and checkpoints are those of the heads alone; encoder and teacher, which are frozen, follow them
    to their device.

    Args:
        encoder: the CLIP encoder that the heads shall refine, or its config.
        teacher: an object with ``targets(images, patch_size)``, such as ``Teachers``, or its config;
            without a foreground target only the affinities are trained.
        layer: name of the encoder's map that the heads read; no block behind it is run.
        inner: channels that affinities are computed from.
        seed: of the heads' first weights.
        radius: pairs farther apart than this, in patches or sub-patches, do not count; None, as published, for all.
        sub_patch: side in pixels of the sub-patches that the heads refine onto; None, as published, for patches.
    """

    def __init__(
        self,
        encoder: CLIPEncoder | Mapping[str, Any],
        teacher: Any,
        layer: str = TAPPED,
        inner: int = 256,
        seed: int = 0,
        radius: int | float | None = None,
        sub_patch: int | None = None,
    ) -> None:
        super().__init__()
        self.radius = radius
        # In a tuple: as submodules they would be in every checkpoint and in the optimizer.
        self.frozen: tuple[CLIPEncoder, Any] = (_frozen(build(ENCODERS, encoder)), _frozen(build(REFINERS, teacher)))
        clip = self.frozen[0]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.heads = DinoiserRefiner(clip.width, inner, layer, encoder_id=clip.model_id, sub_patch=sub_patch)
        self.heads.check(clip)

    def forward(self, images: Sequence[Tensor] | Tensor, mode: str = "loss") -> dict[str, Tensor]:
        """Losses of a batch of (3, H, W) uint8 images of one size."""
        batch = images if isinstance(images, Tensor) else torch.stack(tuple(images))
        pixels = batch.to(self.heads.obj_proj.weight.device).float() / 255
        encoder, teacher = self.frozen
        with torch.no_grad():
            tapped = encoder.maps(pixels, self.heads.needs.maps)[self.heads.layer]
            same, thing = teacher.targets(pixels, encoder.patch_size, self.heads.sub_patch, self.radius)
        return self.losses(tapped, same, thing, whole_patches(pixels, encoder.patch_size))

    def losses(
        self,
        tapped: Float[Tensor, "b c h w"],
        same: Bool[Tensor, "b n k"],
        thing: Bool[Tensor, "b h w"] | None,
        images: Float[Tensor, "b 3 H W"] | None = None,
    ) -> dict[str, Float32[Tensor, ""]]:
        """Losses of the heads on the encoder's map, in float32 also where encoder and teacher ran in less."""
        with torch.autocast(tapped.device.type, enabled=False):
            tapped, counted = tapped.float(), None
            descriptors = self.heads.descriptors(tapped, images)
            if self.radius is not None:
                counted = pairs_within(descriptors.shape[2:], self.radius, tapped.device)[1]
            losses = {"loss_affinity": affinity_loss(pair_cosines(descriptors, self.radius), same, counted)}
            if thing is not None:
                losses["loss_foreground"] = foreground_loss(self.heads.foreground(tapped), thing)
        return losses

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "DinoiserTraining":
        """Move or convert encoder and teacher too."""
        for module in self.frozen:
            if isinstance(module, nn.Module):
                module._apply(fn)
        return super()._apply(fn, recurse)


def _frozen(module: Any) -> Any:
    return module.eval().requires_grad_(False) if isinstance(module, nn.Module) else module
