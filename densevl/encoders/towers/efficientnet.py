"""The tower of EfficientNet-Lite0: inverted residuals, and the map of each block on its own grid.

Source: Tan and Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, ICML 2019,
https://arxiv.org/abs/1905.11946, in the Lite form (no squeeze and excitation, ReLU6). Modules are called as in the file
of weights, lukemelas' EfficientNet-PyTorch. Results are those of timm's ``tf_efficientnet_lite0`` to the last bit; to
import timm takes longer than all else before the first image.

A convolution of stride 2 pads more at the right and the bottom, as TensorFlow does it, by which a cell of a map of
stride s would look (s - 1) / 2 pixels right of and below its centre. The trained kernels make up for it: gradients lie
within 2 pixels of the centres at strides 8 and 16 and within 7 at stride 32, so maps are taken as they are.
"""

from collections.abc import Collection, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from densevl.core.errors import UsageError
from densevl.weights import check_state_dict

__all__ = ["STRIDES", "EfficientNetTower", "InvertedResidual", "build_efficientnet"]

STRIDES = (32, 16)
"""Strides of the last map: as trained, or by dilation of the last stage."""

STEM, WIDTH, CLASSES = 32, 1280, 1000
"""Channels behind the first convolution and of the last map, and the classes of ImageNet."""

COUNTER = "num_batches_tracked"

STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Of each stage: blocks, side of the kernel, stride of the first block, factor of the channels inside, channels."""


class SameConv(nn.Conv2d):
    """A convolution that pads as TensorFlow does: with a stride, more at the right and the bottom.

    Args:
        entering: channels.
        leaving: channels.
        side: of the kernel.
        stride: of the kernel.
        dilation: of the kernel, where the stride is 1.
        groups: of channels.
    """

    def __init__(
        self, entering: int, leaving: int, side: int, stride: int = 1, dilation: int = 1, groups: int = 1
    ) -> None:
        padding = 0 if stride > 1 else (side - 1) * dilation // 2
        super().__init__(entering, leaving, side, stride, padding, dilation, groups, bias=False)

    def forward(self, x: Float[Tensor, "b c1 H W"]) -> Float[Tensor, "b c2 h w"]:
        """Convolve."""
        stride, side = self.stride[0], self.kernel_size[0]
        if stride > 1:
            lacking = [max((-(-length // stride) - 1) * stride + side - length, 0) for length in x.shape[2:]]
            x = F.pad(x, [part for short in reversed(lacking) for part in (short // 2, short - short // 2)])
        return super().forward(x)


class InvertedResidual(nn.Module):
    """Expansion, a convolution of each channel, projection; added to what enters where both have one shape.

    Args:
        entering: channels.
        leaving: channels.
        side: of the kernel.
        stride: of the kernel.
        dilation: of the kernel.
        expansion: factor of the channels inside; 1 for no expansion.
    """

    def __init__(self, entering: int, leaving: int, side: int, stride: int, dilation: int, expansion: int) -> None:
        super().__init__()
        inner = entering * expansion
        self.added = stride == 1 and entering == leaving
        if expansion > 1:
            self._expand_conv, self._bn0 = SameConv(entering, inner, 1), _norm(inner)
        self._depthwise_conv = SameConv(inner, inner, side, stride, dilation, groups=inner)
        self._bn1 = _norm(inner)
        self._project_conv, self._bn2 = SameConv(inner, leaving, 1), _norm(leaving)

    def forward(self, x: Float[Tensor, "b c1 H W"]) -> Float[Tensor, "b c2 h w"]:
        """Run the block."""
        inner = F.relu6(self._bn0(self._expand_conv(x)), inplace=True) if hasattr(self, "_expand_conv") else x
        inner = F.relu6(self._bn1(self._depthwise_conv(inner)), inplace=True)
        left = self._bn2(self._project_conv(inner))
        return left + x if self.added else left


class EfficientNetTower(nn.Module):
    """EfficientNet-Lite0.

    Args:
        stride: of its last map.

    Attributes:
        depth: number of blocks.
        width: channels of the last map.

    Raises:
        UsageError: where the stride is none of :data:`STRIDES`.
    """

    def __init__(self, stride: int) -> None:
        if stride not in STRIDES:
            raise UsageError(f"stride must be one of {', '.join(map(str, STRIDES))}; got {stride!r}")
        super().__init__()
        self.stride = stride
        self._conv_stem, self._bn0 = SameConv(3, STEM, 3, 2), _norm(STEM)
        blocks: list[nn.Module] = []
        channels, reached, dilation = STEM, 2, 1
        for count, side, first, expansion, leaving in STAGES:
            dilated = dilation * first if reached * first > stride else dilation
            step = first if reached * first <= stride else 1
            reached *= step
            for place in range(count):
                blocks.append(
                    InvertedResidual(
                        channels, leaving, side, 1 if place else step, dilated if place else dilation, expansion
                    )
                )
                channels = leaving
            dilation = dilated
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = SameConv(channels, WIDTH, 1), _norm(WIDTH)
        self._fc = nn.Linear(WIDTH, CLASSES)
        self.depth, self.width = len(blocks), WIDTH

    @property
    def dtype(self) -> torch.dtype:
        """Dtype that images enter in."""
        return self._conv_stem.weight.dtype

    @property
    def classes(self) -> tuple[Float[Tensor, "m c"], Float[Tensor, " m"]]:
        """Weights and biases of the classes that it was trained to tell apart."""
        return self._fc.weight, self._fc.bias

    def pooled(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b c"]:
        """The features of whole normalised images that the classifier reads."""
        return F.adaptive_avg_pool2d(self.maps(images)[0], 1).flatten(1)

    def maps(
        self, images: Float[Tensor, "b 3 H W"], wanted: Collection[int] = ()
    ) -> tuple[Float[Tensor, "b c h w"], dict[int, Float[Tensor, "b _ _ _"]]]:
        """The last map of normalised images, and the outputs of blocks by index, each on its own grid.

        Args:
            images: sides are multiples of the stride.
            wanted: indices of blocks, from 0.
        """
        x = F.relu6(self._bn0(self._conv_stem(images)), inplace=True)
        found = {}
        for index, block in enumerate(self._blocks):
            x = block(x)
            if index in wanted:
                found[index] = x
        return F.relu6(self._bn1(self._conv_head(x)), inplace=True), found


def build_efficientnet(state: Mapping[str, Tensor] | None, stride: int = 32, path: object = "") -> EfficientNetTower:
    """The tower with weights, in evaluation mode.

    Args:
        state: weights as lukemelas' EfficientNet-PyTorch names them; None for random ones.
        stride: of the last map, one of :data:`STRIDES`.
        path: of their file, for errors.

    Raises:
        UsageError: where the stride is another.
        WeightsError: where the weights are those of another model.
    """
    with torch.device("meta"):
        tower = EfficientNetTower(stride)
    ours = tower.state_dict()
    if state is None:
        from timm.models import create_model  # only where its new weights are wanted

        drawn: Any = create_model("tf_efficientnet_lite0", pretrained=False)
        state = dict(zip(ours, drawn.state_dict().values(), strict=True))
    # Counters of training steps, which inference does not read.
    counters = {name: torch.tensor(0) for name in ours if name.endswith(COUNTER)}
    check_state_dict({**state, **counters}, ours, str(path))
    filled = {name: one.contiguous() for name, one in {**state, **counters}.items()}  # the file has one transposed
    tower.load_state_dict(filled, assign=True)
    return tower.float().eval().requires_grad_(False)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=0.001)
