"""Outlier tokens replaced by what lies around them.

Source: SC-CLIP (Bai et al., Self-Calibrated CLIP for Training-Free Open-Vocabulary Segmentation), as SFP uses it, too.
Where we differ: any grid (the reference code divides indices by the number of rows and fails where there are not as
many columns), and an outlier that has outliers alone around it stays as it is.
"""

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["repair"]


def repair(maps: Float[Tensor, "b c h w"], outliers: Bool[Tensor, "b h w"]) -> Float[Tensor, "b c h w"]:
    """Maps in which each outlier is the mean of those of its eight neighbours that are none.

    Args:
        maps: of each image.
        outliers: True at cells that are replaced.
    """
    good = (~outliers[:, None]).to(maps.dtype)
    count = F.avg_pool2d(good, 3, stride=1, padding=1, divisor_override=1)
    around = F.avg_pool2d(maps * good, 3, stride=1, padding=1, divisor_override=1) / count.clamp(min=1)
    return around.where(outliers[:, None] & (count > 0), maps)
