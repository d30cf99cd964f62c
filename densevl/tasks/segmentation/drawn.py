"""Values of the patches of windows, drawn on an image."""

from dataclasses import dataclass

from jaxtyping import Float, Float32, Int
from torch import Tensor

from densevl.core.geometry import Extent, Size
from densevl.core.transfers import upload
from densevl.tasks.segmentation.labelling import scores
from densevl.tasks.segmentation.windows import WindowPlan

__all__ = ["Drawn"]


@dataclass(frozen=True, eq=False)
class Drawn:
    """Values on the patch grids of windows, and where they lie in an image; pixels are made when they are asked for.

    Attributes:
        values: on the grid of each window.
        plan: where the windows lie in the resized image.
        patch_size: side of a patch in its pixels.
        size: of the image that they are drawn on.
        extent: what a grid covers of its window; None for patches from its upper left corner.
    """

    values: Float[Tensor, "n q h w"]
    plan: WindowPlan
    patch_size: int
    size: Size
    extent: Extent | None = None

    def pixels(self, rows: Int[Tensor, " m"] | None = None) -> Float32[Tensor, "_ H W"]:
        """Values at the pixels.

        Args:
            rows: indices of those wanted; None for all.
        """
        values = self.values if rows is None else self.values[:, upload(rows, self.values.device)]
        return scores(values, self.plan, self.patch_size, self.size, extent=self.extent)

    def means(self, cell: Size) -> Float32[Tensor, "q h w"]:
        """Means over cells of pixels, what is left of a side being dropped; no pixel is made for them.

        Args:
            cell: pixels (down, right) of each.
        """
        return scores(self.values, self.plan, self.patch_size, self.size, extent=self.extent, cell=cell)
