"""Feature stacks: several maps of one encoder, as one vector for each cell of one grid.

Classes that are taught with masks are not bound to the space of the texts, and what tells materials, edges and small
things apart lies in earlier blocks than what names them. A *stack* makes one unit vector u of the vectors m_1 … m_n of
a place, each map first made unit (after Hariharan et al., Hypercolumns for Object Segmentation and Fine-grained
Localization, CVPR 2015)::

    u = unit(r(unit(m_1)), …, r(unit(m_n)))      r brings a map to the grid of the stack

A finer map is averaged over the cells of the stack, a coarser one is read bilinearly at their centres. Where we differ
from the paper: the maps are normalised, and one classifier takes u for all places.

Convention: a cell has ``stride`` pixels of the resized image a side; grids end with the image, not with its padding.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from torch import Tensor, nn

from densevl.core.errors import UsageError, shortened
from densevl.core.features import DenseFeatures
from densevl.core.files import parse_json
from densevl.core.geometry import Size
from densevl.encoders.contracts import Encoder, Needs

__all__ = ["FEATURES", "FeatureStack", "StackRefiner", "stack_maps"]

FEATURES = "features"
"""The name of the dense features themselves, as the readout gives them, among the maps of a stack."""

PREFIX = "stack "


@dataclass(frozen=True)
class FeatureStack:
    """The settings of a stack: which maps, on what grid, of an image seen how.

    Attributes:
        maps: their names, such as ``"blocks.4"``; :data:`FEATURES` for the dense features.
        stride: side of a cell in pixels of the resized image; it divides the patch of the encoder.
        short_side: of the resized image in pixels.
        long_side: that no side exceeds after resizing.
        window: side of the square windows in pixels; None for the whole image at once.
        window_stride: step between windows in pixels.
        positions: how a position embedding is resized.
        border: what becomes of sides that are no multiple of the patch.

    Raises:
        UsageError: where there is no map, one stands twice, or a number is not above 0.
    """

    maps: Sequence[str]
    stride: int
    short_side: int
    long_side: int = 2048
    window: int | None = None
    window_stride: int = 224
    positions: str = "size"
    border: str = "black"

    def __post_init__(self) -> None:
        object.__setattr__(self, "maps", tuple(self.maps))
        if not self.maps or len(set(self.maps)) < len(self.maps):
            raise UsageError(f"a feature stack takes at least one map, each once; got {', '.join(self.maps) or 'none'}")
        sides = {name: getattr(self, name) for name in ("stride", "short_side", "long_side", "window", "window_stride")}
        for name, side in sides.items():
            whole = isinstance(side, int) and not isinstance(side, bool)
            if not (side is None and name == "window") and not (whole and side > 0):
                raise UsageError(f"{name} of a feature stack is a number of pixels above 0; got {side!r}")

    @property
    def name(self) -> str:
        """Every setting, as ``space`` of the classifiers that take its vectors; :meth:`parse` reads it."""
        return PREFIX + json.dumps(asdict(self))

    @classmethod
    def parse(cls, name: str) -> "FeatureStack":
        """The stack of a name.

        Raises:
            UsageError: where it is not the name of a stack.
        """
        try:
            settings = parse_json(name.removeprefix(PREFIX)) if cls.named(name) else None
        except json.JSONDecodeError:
            settings = None
        if not isinstance(settings, dict) or not set(settings) <= {field.name for field in fields(cls)}:
            raise UsageError(f"{shortened(name)!r} names no feature stack; teach the classes anew")
        try:
            return cls(**settings)
        except TypeError as error:
            raise UsageError(f"{shortened(name)!r} names no feature stack ({error}); teach the classes anew") from None

    @staticmethod
    def named(space: str | None) -> bool:
        """True for the name of a stack, as opposed to other spaces."""
        return space is not None and space.startswith(PREFIX)


def stack_maps(maps: Sequence[Float[Tensor, "b _ _ _"]], grid: Size) -> Float32[Tensor, "b c {grid[0]} {grid[1]}"]:
    """One unit vector for each cell of a grid, of maps that cover the same images on grids of their own.

    Args:
        maps: in the order in which their numbers follow each other.
        grid: cells (down, right).
    """
    found = []
    for values in maps:
        units = F.normalize(values.float(), dim=1)
        if values.shape[2] > grid[0] or values.shape[3] > grid[1]:
            units = F.adaptive_avg_pool2d(units, grid)
        elif values.shape[2:] != grid:
            units = F.interpolate(units, grid, mode="bilinear", align_corners=False)
        found.append(units)
    return F.normalize(torch.cat(found, dim=1), dim=1)


class StackRefiner(nn.Module):
    """Dense features replaced by those of a stack, which no text can be compared with.

    Args:
        stack: its settings.

    Attributes:
        space: name of the vectors, for classifiers.
    """

    finds_foreground = False

    def __init__(self, stack: FeatureStack) -> None:
        super().__init__()
        self.stack = stack
        self.space = stack.name

    @property
    def name(self) -> str:
        """The name of the stack."""
        return self.stack.name

    @property
    def needs(self) -> Needs:
        """The maps, and the images, which say where the grid ends."""
        return Needs(maps=tuple(name for name in self.stack.maps if name != FEATURES), images=True)

    def check(self, encoder: Encoder) -> None:
        """Refuse an encoder whose patches the cells do not divide.

        Raises:
            UsageError: where they do not.
        """
        if encoder.patch_size % self.stack.stride:
            raise UsageError(
                f"the cells of a feature stack divide the patches of its encoder, which have {encoder.patch_size} "
                f"pixels; got a stride of {self.stack.stride}"
            )

    def forward(self, features: DenseFeatures, images: Float[Tensor, "b 3 H W"] | None = None) -> DenseFeatures:
        """The features of the stack; what they say of whole images is dropped, as images are seen in another size.

        Args:
            features: with the maps that are needed.
            images: behind them.
        """
        stride = self.stack.stride
        grid = tuple(side * features.patch_size // stride for side in features.grid.shape[2:])
        maps: list[Any] = [features.grid if name == FEATURES else features.maps[name] for name in self.stack.maps]
        stacked = DenseFeatures(stack_maps(maps, (grid[0], grid[1])), stride, features.model_id, extent=features.extent)
        return stacked if images is None else stacked.inside((images.shape[2], images.shape[3]))
