"""MaskCLIP and CLIP-DINOiser computed step by step, as an oracle for tests and a baseline for benchmarks.

One window at a time, float32, every map at full size, each step by the library call that does it, as the published code
of CLIP-DINOiser (commit a954aae, over mmsegmentation 0.x) goes about it. What that code computes and throws away is
left out, in its favour: the attention of the last block, queries and keys put through its output projection, and the
probabilities of the features before they are pooled. It has the weights and the settings of a segmentor, but none
of its code.
"""

import re
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings
from densevl.core.geometry import Size, resized_size
from densevl.core.images import resize_image, to_tensor
from densevl.dense.readouts.maskclip import MaskCLIPReadout
from densevl.dense.refiners.dinoiser import DinoiserRefiner
from densevl.encoders.towers.open_clip import OpenClipTower
from densevl.tasks.segmentation.segmentor import Segmentor
from densevl.tasks.segmentation.windows import WindowPlan

__all__ = ["PlainSegmentor", "plain_scores"]


class PlainSegmentor:
    """A segmentor without any optimisation.

    Args:
        segmentor: its weights and settings are used; float32, whole MaskCLIP readout, no refiner or that of
            CLIP-DINOiser on ``ln_2`` of a block, no refinement of probabilities, no background but by its name.

    Raises:
        UsageError: where the segmentor does more than is written down here.
    """

    def __init__(self, segmentor: Segmentor) -> None:
        extras = [*segmentor.refiners, *segmentor.stages]
        self.heads = extras.pop(0) if extras and isinstance(extras[0], DinoiserRefiner) else None
        self.tapped = None if self.heads is None else _tapped_block(self.heads.layer, segmentor.encoder.depth)
        weight = next(segmentor.parameters())
        if segmentor.dense.readout != MaskCLIPReadout() or extras or weight.dtype != torch.float32:
            raise UsageError(
                "the plain implementation is MaskCLIP in float32, with readout maskclip and nothing behind it but the "
                f"heads of CLIP-DINOiser; got {segmentor.protocol}"
            )
        self.settings = segmentor
        encoder: Any = segmentor.encoder
        if not isinstance(getattr(encoder, "image", None), OpenClipTower):
            raise UsageError(
                f"the plain implementation is that of open_clip's ViT, and {encoder.model_id} has another image tower; "
                "take weights such as mini-clip"
            )
        self.visual = encoder.model.visual
        self.mean, self.std = (weight.new_tensor(values)[:, None, None] for values in (encoder.mean, encoder.std))

    @torch.inference_mode()
    def encode(self, image: UInt8[np.ndarray, "H W 3"]) -> tuple[list[Float[Tensor, "d h w"]], WindowPlan, Size]:
        """Patch features of each window of the resized image."""
        settings, size = self.settings, image.shape[:2]
        resized = size if settings.short_side is None else resized_size(size, settings.short_side, settings.long_side)
        tensor = to_tensor(resize_image(image, resized)).to(settings.device)
        plan = WindowPlan(resized, settings.window, settings.stride)
        return [self._features(window) for window in plan.crop(tensor[None])], plan, size

    def _features(self, window: Float[Tensor, "3 H W"]) -> Float[Tensor, "d h w"]:
        visual, patch = self.visual, self.visual.patch_size[0]
        height, width = window.shape[1:]
        padded = F.pad(window, (0, -width % patch, 0, -height % patch))
        patches = visual.conv1(((padded - self.mean) / self.std)[None])
        grid = patches.shape[2:]
        positions = visual.positional_embedding
        native = positions[1:].T.unflatten(1, visual.grid_size)[None]
        resized = F.interpolate(native, grid, mode="bicubic", align_corners=False)
        x = torch.cat([visual.class_embedding[None, None], patches.flatten(2).mT], dim=1)
        x = visual.ln_pre(x + torch.cat([positions[:1], resized[0].flatten(1).T]))
        *blocks, last = visual.transformer.resblocks
        tapped = None
        for index, block in enumerate(blocks):
            if index == self.tapped:
                x = x + block.ls_1(block.attention(block.ln_1(x)))
                tapped = block.ln_2(x)
                x = x + block.ls_2(block.mlp(tapped))
            else:
                x = block(x)
        _, _, values = F.linear(last.ln_1(x), last.attn.in_proj_weight, last.attn.in_proj_bias).chunk(3, dim=2)
        x = x + last.ls_1(last.attn.out_proj(values))
        x = x + last.ls_2(last.mlp(last.ln_2(x)))
        features = (visual.ln_post(x[0, 1:]) @ visual.proj).T.unflatten(1, grid)
        if tapped is None:
            return features
        patch = (self.heads and self.heads.sub_patch) or patch
        pooled = self._pooled(features, tapped[0, 1:].T.unflatten(1, grid), padded)
        return pooled[:, : -(-height // patch), : -(-width // patch)]

    def _pooled(
        self, features: Float[Tensor, "d h w"], tapped: Float[Tensor, "c h w"], image: Float[Tensor, "3 H W"]
    ) -> Float[Tensor, "d h2 w2"]:
        """Features averaged by the affinities of the heads, from the whole matrix of all pairs."""
        heads: Any = self.heads
        descriptors = heads.obj_proj(tapped[None])
        if heads.sub_patch is not None:
            seen = heads.stem(image[None] - 0.5)
            descriptors = seen + F.interpolate(descriptors, seen.shape[2:], mode="bilinear", align_corners=False)
            features = F.interpolate(features[None], seen.shape[2:], mode="nearest")[0]
        units = F.normalize(descriptors[0].flatten(1), dim=0)
        affinity = (units.T @ units).unflatten(1, features.shape[1:])
        affinity[affinity < heads.gamma] = 0
        if heads.radius is not None:
            y, x = (torch.arange(side, device=features.device) for side in features.shape[1:])
            down, right = y[:, None] - y, x[:, None] - x
            far = down[:, None, :, None] ** 2 + right[None, :, None, :] ** 2 > heads.radius**2
            affinity[far.flatten(0, 1)] = 0
        for _ in range(heads.rounds):
            pooled = torch.einsum("nhw,dhw->dn", affinity, features) / (affinity.sum((1, 2)) + 1e-6)
            features = pooled.unflatten(1, features.shape[1:])
        return features

    @torch.inference_mode()
    def label(
        self, encoded: tuple[list[Float[Tensor, "d h w"]], WindowPlan, Size], texts: TextEmbeddings
    ) -> Int64[Tensor, "H W"]:
        """Labels of all pixels, from the full-size maps of all classes."""
        features, plan, size = encoded
        probabilities = []
        for grid in features:
            cosines = torch.einsum("qd,dhw->qhw", texts.vectors.float(), F.normalize(grid, dim=0))
            classes = [cosines[texts.query_classes == owner].amax(0) for owner in range(len(texts.vocabulary))]
            probabilities.append((self.settings.temperature * torch.stack(classes)).softmax(0))
        patch = (self.heads and self.heads.sub_patch) or self.visual.patch_size[0]
        return plain_scores(torch.stack(probabilities), plan, patch, size).argmax(0)


def _tapped_block(layer: str, depth: int) -> int:
    """Index of the block whose ``ln_2`` the heads read."""
    match = re.fullmatch(r"blocks\.(-?\d+)\.ln_2", layer)
    if match is None:
        raise UsageError(f"the plain implementation reads what ln_2 of a block puts out; the heads read {layer}")
    return int(match[1]) % depth


def plain_scores(
    probabilities: Float[Tensor, "n k h w"], plan: WindowPlan, patch_size: int, size: Size
) -> Float[Tensor, "k H W"]:
    """Scores of all classes at all pixels, in the dtype given: upsample each window, average, resize.

    As in mmsegmentation's slide inference, a window is padded to the size of the image before it is added.

    Args:
        probabilities: of each class at each patch, window by window.
        plan: where the windows lie in the resized image.
        patch_size: side of a patch in pixels of the resized image.
        size: (height, width) of the original image.
    """
    (height, width), (rows, columns) = plan.window_size, plan.size
    total = probabilities.new_zeros((1, probabilities.shape[1], rows, columns))
    count = probabilities.new_zeros((1, 1, rows, columns))
    corners = [(y, x) for y in plan.ys for x in plan.xs]
    for window, (y, x) in zip(probabilities, corners, strict=True):
        padded = (window.shape[1] * patch_size, window.shape[2] * patch_size)
        upsampled = F.interpolate(window[None], padded, mode="bilinear", align_corners=False)[..., :height, :width]
        total += F.pad(upsampled, (x, columns - x - width, y, rows - y - height))
        count[..., y : y + height, x : x + width] += 1
    return F.interpolate(total / count, size, mode="bilinear", align_corners=False)[0]
