"""MaskCLIP's protocol written down in the simplest way: what the fast path is compared with, in tests and benchmarks.

One window at a time, float32, every map at full size, each step by the library call that does it. It shares the weights
and the settings with a segmentor, but none of its code.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from densevl.errors import UsageError
from densevl.geometry import resized_size
from densevl.images import resize_image, to_tensor
from densevl.readouts import MaskCLIPReadout
from densevl.segmentors import Segmentor
from densevl.structures import Size, TextEmbeddings
from densevl.windows import WindowPlan

__all__ = ["PlainSegmentor", "plain_scores"]


class PlainSegmentor:
    """A segmentor without any of the tricks.

    Args:
        segmentor: lends its weights and settings; float32, whole MaskCLIP readout, no refiner, no refinement of
            probabilities.

    Raises:
        UsageError: where the segmentor does more than is written down here.
    """

    def __init__(self, segmentor: Segmentor) -> None:
        extras = [*segmentor.refiners, segmentor.denoise, segmentor.smooth]
        weight = next(segmentor.parameters())
        if (
            segmentor.readout != MaskCLIPReadout()
            or any(e is not None for e in extras)
            or weight.dtype != torch.float32
        ):
            raise UsageError(
                f"the plain implementation is MaskCLIP in float32, with readout maskclip and nothing behind it; got "
                f"{segmentor.protocol}"
            )
        self.settings = segmentor
        self.visual: Any = segmentor.encoder.model.visual
        tower = segmentor.encoder.image
        self.mean, self.std = (weight.new_tensor(values)[:, None, None] for values in (tower.mean, tower.std))

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
        window = (F.pad(window, (0, -width % patch, 0, -height % patch)) - self.mean) / self.std
        patches = visual.conv1(window[None])
        grid = patches.shape[2:]
        positions = visual.positional_embedding
        native = positions[1:].T.unflatten(1, visual.grid_size)[None]
        resized = F.interpolate(native, grid, mode="bicubic", align_corners=False)
        x = torch.cat([visual.class_embedding[None, None], patches.flatten(2).mT], dim=1)
        x = visual.ln_pre(x + torch.cat([positions[:1], resized[0].flatten(1).T]))
        *blocks, last = visual.transformer.resblocks
        for block in blocks:
            x = block(x)
        _, _, values = F.linear(last.ln_1(x), last.attn.in_proj_weight, last.attn.in_proj_bias).chunk(3, dim=2)
        x = x + last.ls_1(last.attn.out_proj(values))
        x = x + last.ls_2(last.mlp(last.ln_2(x)))
        return (visual.ln_post(x[0, 1:]) @ visual.proj).T.unflatten(1, grid)

    @torch.inference_mode()
    def label(
        self, encoded: tuple[list[Float[Tensor, "d h w"]], WindowPlan, Size], texts: TextEmbeddings
    ) -> Int64[Tensor, "H W"]:
        """Labels of all pixels, by way of every class's full-size map."""
        features, plan, size = encoded
        probabilities = []
        for grid in features:
            cosines = torch.einsum("qd,dhw->qhw", texts.vectors.float(), F.normalize(grid, dim=0))
            classes = [cosines[texts.owners == owner].amax(0) for owner in range(len(texts.vocabulary))]
            probabilities.append((self.settings.temperature * torch.stack(classes)).softmax(0))
        return plain_scores(torch.stack(probabilities), plan, self.visual.patch_size[0], size).argmax(0)


def plain_scores(
    probabilities: Float[Tensor, "n k h w"], plan: WindowPlan, patch_size: int, size: Size
) -> Float[Tensor, "k H W"]:
    """Scores of all classes at all pixels, in the dtype given: upsample each window, average, resize.

    As in mmsegmentation's slide inference, a window is padded to the size of the image before it is added.

    Args:
        probabilities: as for :func:`densevl.labelling.label`.
        plan: as for :func:`densevl.labelling.label`.
        patch_size: as for :func:`densevl.labelling.label`.
        size: of the original image.
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
