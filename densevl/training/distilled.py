"""An encoder of any towers that learns from a finished one, on images and their captions: no masks, no boxes.

A small encoder trained from nothing needs hours until its patches mean something. Here every patch has a teacher::

    patches    mean over patches of 1 - cos(student, teacher), both read as MaskCLIP reads them
    contrast   the pooled embedding against the captions of the batch: softmax over the batch with several positives
               (Radford et al., CLIP, ICML 2021), or a sigmoid for each pair (Zhai et al., SigLIP, ICCV 2023)
    texts      mean over captions and names of 1 - cos(student, teacher), where the student has a text tower of its own

The teacher looks at the images at its own size. A text tower that has the teacher's shapes takes its weights and keeps
them (Zhai et al., LiT, CVPR 2022, with the towers changed round). A student whose patches are larger than the teacher's
learns their means.
"""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from torch import Tensor, nn

from densevl.core.attention import NoAttention, run_block
from densevl.datasets.scenes.training import SceneText
from densevl.dense.readouts.maskclip import MaskCLIPReadout
from densevl.encoders.clip import CLIPEncoder
from densevl.encoders.loading import build_clip, build_random_clip
from densevl.training.contrastive import contained, contrast_loss

__all__ = ["DistilledEncoder", "read_patches", "sigmoid_loss"]


def sigmoid_loss(logits: Float[Tensor, "b t"], true: Bool[Tensor, "b t"]) -> Float[Tensor, ""]:
    """Binary cross-entropy of every pair, summed over the texts and averaged over the images, as SigLIP does it."""
    return -F.logsigmoid(torch.where(true, logits, -logits)).sum(1).mean()


def read_patches(
    encoder: CLIPEncoder, images: Float[Tensor, "b 3 H W"]
) -> tuple[Float[Tensor, "b d h w"], Float[Tensor, "b d"]]:
    """Patches as MaskCLIP reads them and the pooled vector of the ordinary forward, with gradients.

    Args:
        encoder: with any image tower; of one whose last block has no attention, the patches are its last map.
        images: RGB in [0, 1], of one size.
    """
    last = inspect.unwrap(CLIPEncoder.last_block)(encoder, images)  # as it is, but for torch.no_grad
    output = last.output() if isinstance(last.block, NoAttention) else MaskCLIPReadout()(last)
    patches = encoder.image.to_joint(output.flatten(2).mT).mT.unflatten(2, last.grid)
    return patches, encoder.image.pool(run_block(last.block, last.tokens)["out"])


@MODELS.register_module()
class DistilledEncoder(BaseModel):
    """A student with its training losses, as MMEngine runs it.

    Args:
        arch: architecture of the student, by its name; or the student itself, to train it further.
        teacher: weights of the teacher, by their name or a file.
        sigmoid: contrast pair by pair, with a bias, and not over the batch.
        weights: factors of (patches, contrast, texts).
        autocast: compute in bfloat16 where that is safe.
        seed: of the student's first weights.
    """

    def __init__(
        self,
        arch: str | CLIPEncoder,
        teacher: str = "mini-clip",
        sigmoid: bool = False,
        weights: tuple[float, float, float] = (1.0, 0.2, 1.0),
        autocast: bool = True,
        seed: int = 0,
    ):
        super().__init__()
        student = (build_random_clip(arch, seed) if isinstance(arch, str) else arch).requires_grad_(True)
        self.sigmoid, self.weights, self.autocast = sigmoid, weights, autocast
        # Not among the modules: checkpoints hold what is trained alone.
        self._apart: tuple[CLIPEncoder, CLIPEncoder] = student, build_clip(teacher, text_cache=False)
        self.locked = self._lock_texts()
        model = student.model
        if not self.locked:
            with torch.no_grad():
                model.logit_scale.fill_(torch.tensor(10.0).log())
        self.encoder: nn.Module = nn.ModuleDict({"visual": model.visual}) if self.locked else model

    @property
    def student(self) -> CLIPEncoder:
        """The student as an encoder, over the same weights."""
        return self._apart[0].to(self.device)

    @property
    def teacher(self) -> CLIPEncoder:
        """The teacher, where the student is."""
        return self._apart[1].to(self.device)

    @property
    def device(self) -> torch.device:
        """Where the student is trained."""
        return next(self.parameters()).device

    def forward(
        self, images: Sequence[Tensor] | Tensor, texts: Sequence[SceneText], mode: str = "loss"
    ) -> dict[str, Tensor]:
        """Losses of a batch of (3, H, W) uint8 images of one size and their texts."""
        batch = images if isinstance(images, Tensor) else torch.stack(tuple(images))
        device = self.device
        pixels = batch.to(device).float() / 255
        student, teacher = self.student, self.teacher
        captions = [text.caption for text in texts]
        names = [] if self.locked else sorted({name for text in texts for thing in text.things for name in thing})
        with torch.autocast(device.type, torch.bfloat16, enabled=self.autocast):
            with torch.no_grad():
                taught, _ = read_patches(teacher, F.interpolate(pixels, teacher.image_size, mode="area"))
                said = teacher.forward_texts(captions + names)
            patches, pooled = read_patches(student, pixels)
            own = said if self.locked else student.forward_texts(captions + names)
        on_grid = F.adaptive_avg_pool2d(taught.float(), (patches.shape[2], patches.shape[3]))
        of_patches, of_contrast, of_texts = self.weights
        losses = {
            "loss_patches": of_patches * (1 - F.cosine_similarity(patches.float(), on_grid, dim=1)).mean(),
            "loss_contrast": of_contrast * self._contrast(pooled, own[: len(captions)], contained(texts).to(device)),
        }
        if not self.locked:
            losses["loss_texts"] = of_texts * (1 - F.cosine_similarity(own.float(), said.float(), dim=1)).mean()
        return losses

    def _contrast(
        self, pooled: Float[Tensor, "b d"], captions: Float[Tensor, "b d"], true: Bool[Tensor, "b b"]
    ) -> Float[Tensor, ""]:
        cosines = F.normalize(pooled.float(), dim=1) @ F.normalize(captions.float(), dim=1).T
        model: Any = self.student.model
        logits = model.logit_scale.exp().clamp(max=100) * cosines
        return sigmoid_loss(logits + model.logit_bias, true) if self.sigmoid else contrast_loss(logits, true)

    def _lock_texts(self) -> bool:
        """Give the student the teacher's texts, where their weights have the same names and shapes; whether they do."""
        own, other = (_texts(one.model) for one in self._apart)
        if {name: value.shape for name, value in own.items()} != {name: value.shape for name, value in other.items()}:
            return False
        with torch.no_grad():
            for name, parameter in own.items():
                parameter.copy_(other[name])
                parameter.requires_grad_(False)
        return True


def _texts(model: nn.Module) -> dict[str, nn.Parameter]:
    """The weights of a model but for those of its image tower, by the names that they have in a plain CLIP."""
    named = model.named_parameters()
    return {name.removeprefix("text."): value for name, value in named if not name.startswith("visual.")}
