"""The tower of EfficientNet-Lite0: inverted residuals, and the map of each block on its own grid.

Source: Tan and Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, ICML 2019,
https://arxiv.org/abs/1905.11946, in the Lite form (no squeeze and excitation, ReLU6); architecture by timm's
``tf_efficientnet_lite0``, weights as lukemelas' EfficientNet-PyTorch names them.

A convolution of stride 2 pads more at the right and the bottom, as TensorFlow does it, by which a cell of a map of
stride s would look (s - 1) / 2 pixels right of and below its centre. The trained kernels make up for it: gradients lie
within 2 pixels of the centres at strides 8 and 16 and within 7 at stride 32, so maps are taken as they are.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any

import torch
from jaxtyping import Float
from timm.models import create_model
from torch import Tensor, nn

from densevl.core.errors import UsageError
from densevl.weights import check_state_dict

__all__ = ["STRIDES", "EfficientNetTower", "build_efficientnet", "timm_names"]

STRIDES = (32, 16)
"""Strides of the last map: as trained, or by dilation of the last stage."""

OUTSIDE = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
INSIDE = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2"}
INSIDE |= {"_project_conv": "conv_pwl", "_bn2": "bn3"}
FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
"""The names of modules there and in timm: around the blocks, inside them, and inside the first, which expands none."""


class EfficientNetTower(nn.Module):
    """EfficientNet-Lite0 run from its pieces.

    Args:
        net: timm's model; it is referred to, not copied.
        stride: of its last map.

    Attributes:
        depth: number of blocks.
        width: channels of the last map.
    """

    def __init__(self, net: Any, stride: int) -> None:
        super().__init__()
        self.net: Any = net
        self.stride = stride
        self.depth, self.width = sum(map(len, net.blocks)), int(net.num_features)

    @property
    def dtype(self) -> torch.dtype:
        """Dtype that images enter in."""
        return self.net.conv_stem.weight.dtype

    @property
    def classes(self) -> tuple[Float[Tensor, "m c"], Float[Tensor, " m"]]:
        """Weights and biases of the classes that it was trained to tell apart."""
        return self.net.classifier.weight, self.net.classifier.bias

    def pooled(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b c"]:
        """The features of whole normalised images that the classifier reads."""
        return self.net.forward_head(self.net.forward_features(images), pre_logits=True)

    def maps(
        self, images: Float[Tensor, "b 3 H W"], wanted: Collection[int] = ()
    ) -> tuple[Float[Tensor, "b c h w"], dict[int, Float[Tensor, "b _ _ _"]]]:
        """The last map of normalised images, and the outputs of blocks by index, each on its own grid.

        Args:
            images: sides are multiples of the stride.
            wanted: indices of blocks, from 0.
        """
        x = self.net.bn1(self.net.conv_stem(images))
        found = {}
        for index, block in enumerate(block for stage in self.net.blocks for block in stage):
            x = block(x)
            if index in wanted:
                found[index] = x
        return self.net.bn2(self.net.conv_head(x)), found


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
    if stride not in STRIDES:
        raise UsageError(f"stride must be one of {', '.join(map(str, STRIDES))}; got {stride!r}")
    net: Any = create_model("tf_efficientnet_lite0", pretrained=False, output_stride=stride)
    if state is not None:
        ours = {name: value for name, value in net.state_dict().items() if not name.endswith("num_batches_tracked")}
        theirs = {
            name: value
            for name, value in timm_names(state, [len(stage) for stage in net.blocks]).items()
            if not name.endswith("num_batches_tracked")
        }
        check_state_dict(theirs, ours, str(path))
        net.load_state_dict(theirs, strict=False)
    return EfficientNetTower(net.eval().requires_grad_(False), stride)


def timm_names(state: Mapping[str, Tensor], stages: Collection[int]) -> dict[str, Tensor]:
    """Weights by the names of timm's model; what has no place there keeps its name.

    Args:
        state: weights as lukemelas' EfficientNet-PyTorch names them.
        stages: number of blocks of each stage.
    """
    places = [(stage, block) for stage, count in enumerate(stages) for block in range(count)]

    def renamed(name: str) -> str:
        match = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
        if match is None:
            module, _, rest = name.partition(".")
            return f"{OUTSIDE.get(module, module)}.{rest}"
        index, module, rest = int(match[1]), match[2], match[3]
        if index >= len(places):
            return name
        stage, block = places[index]
        return f"blocks.{stage}.{block}.{(INSIDE if index else FIRST).get(module, module)}.{rest}"

    return {renamed(name): value for name, value in state.items()}
