"""Images of a batch, as mmsegmentation hands them to a model, made 8-bit RGB again.

Convention: the transforms of mmsegmentation carry images as BGR in 0..255, and so do those of densevl; its tools, such
as ``browse_dataset``, take it for granted. A data preprocessor may then reverse the channels, normalise and pad.
densevl's encoders normalise for themselves, so whatever the preprocessor did is undone, from its own settings. The
labels are therefore the same whichever mean, standard deviation and padding a config names. What cannot be told is
refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Num, UInt8
from mmengine.model import BaseDataPreprocessor, ImgDataPreprocessor
from torch import Tensor, nn

from densevl.benchmarks.segmentation.upstream import MODELS, SegDataPreProcessor
from densevl.core.errors import UsageError

__all__ = ["KeepImages", "Preprocessing", "build_preprocessor"]

ORDERS = ("bgr", "rgb")


class KeepImages(BaseDataPreprocessor):
    """The data preprocessor of a config that names none: images stay as they were read, of any sizes, and in memory.

    The segmentor moves to its device what it encodes.
    """

    def cast_data(self, data: Any) -> Any:
        """The data as they are."""
        return data


UNDERSTOOD = (KeepImages, BaseDataPreprocessor, ImgDataPreprocessor, SegDataPreProcessor)
"""Data preprocessors of which it is known what they do; a subclass may do anything."""


def build_preprocessor(config: Mapping[str, Any] | nn.Module | None) -> nn.Module:
    """The data preprocessor of a config.

    Raises:
        UsageError: where it cannot be built.
    """
    if config is None or isinstance(config, nn.Module):
        return config or KeepImages()
    try:
        module: nn.Module = MODELS.build(config)
        return module
    except (TypeError, KeyError, AssertionError) as error:
        raise UsageError(f"data_preprocessor {dict(config)} cannot be built: {error}") from error


@dataclass(frozen=True)
class Preprocessing:
    """The changes of a data preprocessor to the images of a pipeline.

    Attributes:
        order: of the channels that come out, ``"rgb"`` or ``"bgr"``.
        mean: that was subtracted, of the channels in this order; None where images were not normalised.
        std: by which was divided then.
    """

    order: str = "bgr"
    mean: Float[Tensor, "c 1 1"] | None = None
    std: Float[Tensor, "c 1 1"] | None = None

    @classmethod
    def of(cls, preprocessor: nn.Module, channel_order: str = "bgr") -> "Preprocessing":
        """The changes of a data preprocessor, by its settings.

        Args:
            preprocessor: mmengine's or mmsegmentation's own.
            channel_order: of the images that the pipeline hands over, ``"bgr"`` or ``"rgb"``.

        Raises:
            UsageError: where the preprocessor is of another type, or there is no such order.
        """
        if channel_order not in ORDERS:
            raise UsageError(f"channel_order must be one of {', '.join(ORDERS)}; got {channel_order!r}")
        if type(preprocessor) not in UNDERSTOOD:
            raise UsageError(
                f"data_preprocessor {type(preprocessor).__name__} is none of "
                f"{', '.join(known.__name__ for known in UNDERSTOOD[1:])}: nothing tells the channel order and the "
                "scale of its images; take SegDataPreProcessor, or leave data_preprocessor out"
            )
        if not isinstance(preprocessor, ImgDataPreprocessor):
            return cls(channel_order)
        order = channel_order if not preprocessor._channel_conversion else ORDERS[1 - ORDERS.index(channel_order)]
        normalised = preprocessor._enable_normalize
        return cls(order, preprocessor.mean if normalised else None, preprocessor.std if normalised else None)

    def undo(self, image: Num[Tensor, "_ _ _"], sample: Any) -> UInt8[Tensor, "3 h w"]:
        """An image as it was before: 8-bit RGB, without padding.

        Args:
            image: as the data preprocessor leaves it, (channels, height, width).
            sample: its ``img_shape`` is the size without padding, which lies at the right and at the bottom.

        Raises:
            UsageError: where it has not three channels, or its values are not on the scale 0..255.
        """
        name = sample.get("img_path") or "the image"
        if image.shape[0] != 3:
            raise UsageError(
                f"{name} comes with {image.shape[0]} channels; a model of densevl takes 3: color_type='color'"
            )
        height, width = sample.get("img_shape", image.shape[1:])[:2]
        image = image[:, :height, :width]
        if self.mean is not None and self.std is not None:
            image = image * self.std.to(image.device) + self.mean.to(image.device)
        if image.dtype != torch.uint8:
            image = _bytes(image.float(), name)
        return image if self.order == "rgb" else image.flip(0)


def _bytes(image: Float[Tensor, "3 h w"], name: str) -> UInt8[Tensor, "3 h w"]:
    """Floats in 0..255 as the nearest bytes; another scale is refused, because nothing says which value is white."""
    low, high = (float(value) for value in image.aminmax())
    scaled = high <= 1 and not torch.equal(image, image.round())
    if scaled or not (low >= -0.5 and high <= 255.5):
        raise UsageError(
            f"{name} comes with values from {low:.3g} to {high:.3g}, where 0 to 255 is expected: leave transforms such "
            "as Normalize out of the pipeline; mean and std belong to the data preprocessor, where they are undone"
        )
    return image.round().clamp(0, 255).byte()
