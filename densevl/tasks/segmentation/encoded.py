"""An image as a segmentor has encoded it, and how values of its patches come to its pixels."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from densevl.core.features import DenseFeatures, TextEmbeddings
from densevl.core.geometry import Extent, Size
from densevl.dense.contracts import Look
from densevl.tasks.segmentation.windows import WindowPlan

__all__ = ["EncodedImage"]


@dataclass(frozen=True, eq=False)
class EncodedImage:
    """One image as the encoder saw it: ask it any vocabulary, any number of times.

    Attributes:
        features: dense features of every window, ``n`` of them.
        plan: where the windows lie in the resized image.
        size: (height, width) of the image as given; label maps come in this size.
        image: the image as given, uint8 RGB (H, W, 3), for overlays; None where a pipeline resized it beforehand.
        pixels: the resized image, RGB in [0, 1], where a stage reads it.
        texts: the vocabulary that it was encoded for, where the features belong to one.
        encoder: that made the features, where a stage looks at the image again.
    """

    features: DenseFeatures
    plan: WindowPlan
    size: Size
    image: UInt8[np.ndarray, "H W 3"] | None = None
    pixels: Float[Tensor, "3 h w"] | None = None
    texts: TextEmbeddings | None = None
    encoder: Look | None = None

    @property
    def summary(self) -> Float[Tensor, " c"] | None:
        """What the image looks like in short, the mean over its windows; None where the features do not say it."""
        return None if self.features.summary is None else self.features.summary.mean(0)

    @cached_property
    def as_given(self) -> Float32[Tensor, "3 H W"] | None:
        """The image at its pixels as given, resized back from what the encoder saw; None where none of it was kept."""
        if self.pixels is None:
            return None
        pixels = self.pixels[None].to(self.features.grid.device, torch.float32)
        return F.interpolate(pixels, self.size, mode="bilinear", align_corners=False)[0]

    @property
    def at_once(self) -> tuple[WindowPlan, Extent]:
        """A plan of the image as given, whole, and what the grid covers of it."""
        (rows, columns), patch = self.features.grid.shape[2:], self.features.patch_size
        left, top, right, bottom = self.features.extent or (0, 0, columns * patch, rows * patch)
        down, across = (given / seen for given, seen in zip(self.size, self.plan.size, strict=True))
        return WindowPlan(self.size, None), (left * across, top * down, right * across, bottom * down)
