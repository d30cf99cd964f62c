"""Dense features on a finer grid, with what earlier blocks say of each place as its key.

The maps of a tower of convolutions lie on grids of their own: the last one is coarse and names things, the earlier ones
are fine and tell where they end. Here the features are read bilinearly at the centres of finer patches. Earlier maps,
each made unit and brought to these patches, follow each other in one unit vector, the key::

    key = unit(r(unit(m_1)), …, r(unit(m_n)))      as :func:`densevl.dense.stack.stack_maps` does it

A smoothing such as :class:`densevl.dense.stages.appearance.Appearance` compares patches by their keys.

Convention: half-pixel centres; the finer grid ends with the image, not with its padding.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from densevl.core.errors import UsageError
from densevl.core.features import DenseFeatures
from densevl.core.geometry import Size
from densevl.dense.stack import stack_maps
from densevl.encoders.contracts import Encoder, Needs

__all__ = ["Finer"]


class Finer(nn.Module):
    """Features on smaller patches, with keys of earlier maps.

    Args:
        side: of the finer patches in pixels; it divides the encoder's patch.
        maps: that the keys are made of; none leaves the features without keys.

    Raises:
        UsageError: where the side is below 1.
    """

    finds_foreground = False

    def __init__(self, side: int = 8, maps: Sequence[str] = ()) -> None:
        super().__init__()
        if side < 1:
            raise UsageError(f"side of the finer patches is a number of pixels above 0; got {side}")
        self.side, self.maps = side, tuple(maps)
        self.name = f"finer({side=}, maps={list(maps)})"

    @property
    def makes_keys(self) -> bool:
        """True where it gives the keys, so that the last attention need not."""
        return bool(self.maps)

    @property
    def needs(self) -> Needs:
        """The maps, and the images, which say where the grid ends."""
        return Needs(maps=self.maps, images=True)

    def check(self, encoder: Encoder) -> None:
        """Refuse an encoder whose patches the side does not divide.

        Raises:
            UsageError: where it does not.
        """
        if encoder.patch_size % self.side:
            raise UsageError(
                f"finer patches divide those of the encoder, which have {encoder.patch_size} pixels; got {self.side}"
            )

    def forward(self, features: DenseFeatures, images: Float[Tensor, "b 3 H W"] | None = None) -> DenseFeatures:
        """Read features on the finer grid; maps of earlier blocks are let go.

        Args:
            features: with the maps that the keys are made of.
            images: behind the features.

        Raises:
            UsageError: where a map or the images are missing.
        """
        missing = [name for name in self.maps if name not in features.maps]
        if missing or images is None:
            raise UsageError(f"finer features read {', '.join(missing) or 'the images'}, which did not come with them")
        factor = features.patch_size // self.side
        grid: Size = (features.grid.shape[2] * factor, features.grid.shape[3] * factor)
        finer = replace(
            features,
            grid=_read(features.grid, grid),
            patch_size=self.side,
            keys=stack_maps([features.maps[name] for name in self.maps], grid) if self.maps else None,
            maps={},
            foreground=None if features.foreground is None else _read(features.foreground[:, None], grid)[:, 0],
        )
        return finer.inside((images.shape[2], images.shape[3]))


def _read(values: Float[Tensor, "b c h w"], grid: Size) -> Float[Tensor, "b c h2 w2"]:
    return F.interpolate(values, grid, mode="bilinear", align_corners=False)
