"""Masks of everything in an image, from a grid of points.

Kirillov et al., Segment Anything, ICCV 2023, appendix B, without crops. Every point of the grid gives three masks;
those stay whose predicted IoU is high and which hardly change with the threshold; of masks whose boxes overlap the one
with the highest predicted IoU stays; then small pieces are removed and what has become alike is dropped. The steps are
those of segment_anything's ``SamAutomaticMaskGenerator``; here they follow any promptable model, and the image has been
encoded before.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from segment_anything.utils.amg import batched_mask_to_box, build_point_grid, calculate_stability_score
from torch import Tensor
from torchvision.ops import nms

from densevl.core.errors import UsageError
from densevl.core.geometry import Size
from densevl.core.masks import Rle, decode_masks, encode_masks
from densevl.core.regions import Regions
from densevl.regions.mask_makers.clean import least_area, without_small_pieces

__all__ = ["Automatic", "everything"]

Predict = Callable[[Tensor], Iterator[tuple[Tensor, Tensor]]]
"""From points "n 2" to logits "m H W" and predicted IoU "m" of their masks, a few points at a time."""


@dataclass(frozen=True)
class Automatic:
    """Settings of the search for everything.

    Attributes:
        points_per_side: of the grid.
        predicted_iou: a mask that the model rates at this or below is dropped.
        stability: least IoU of the masks at thresholds one above and one below.
        nms: IoU of boxes above which the worse of two masks is dropped.
    """

    points_per_side: int = 16
    predicted_iou: int | float = 0.86
    stability: int | float = 0.92
    nms: int | float = 0.7

    def __post_init__(self) -> None:
        if self.points_per_side < 1:
            raise UsageError(f"points_per_side must be at least 1; got {self.points_per_side}")


def everything(predict: Predict, size: Size, settings: Automatic, small: int | float) -> Regions:
    """Masks of everything, the best first.

    Args:
        predict: the model, with the image in it.
        size: (height, width) of the image.
        settings: how to search.
        small: fraction of the image below which holes and islands are removed.
    """
    grid = torch.from_numpy(build_point_grid(settings.points_per_side)) * torch.tensor([size[1], size[0]])
    codes: list[Rle] = []  # full-size masks of hundreds of points take gigabytes
    boxes, scores = [torch.zeros(0, 4)], [torch.zeros(0)]
    for logits, quality in predict(grid.float()):
        good = quality > settings.predicted_iou
        logits, quality = logits[good], quality[good]
        stable = calculate_stability_score(logits, 0.0, 1.0) >= settings.stability
        masks = logits[stable] > 0
        codes += encode_masks(masks)
        boxes.append(batched_mask_to_box(masks).float().cpu())
        scores.append(quality[stable].float().cpu())
    joined, rated = torch.cat(boxes), torch.cat(scores)
    kept = nms(joined, rated, settings.nms)
    return _cleaned([codes[i] for i in kept.tolist()], rated[kept], size, settings, least_area(size, small))


def _cleaned(codes: list[Rle], scores: Float[Tensor, " n"], size: Size, settings: Automatic, least: int) -> Regions:
    """Without small pieces and what has become alike; masks that had no small pieces take precedence."""
    masks, changed = without_small_pieces(decode_masks(codes, size), least)
    if least > 1 and len(masks):
        kept = nms(batched_mask_to_box(masks).float(), (~changed).float(), settings.nms)
        masks, scores = masks[kept], scores[kept]
    full = masks.flatten(1).any(1)
    masks, scores = masks[full], scores[full]
    order = scores.argsort(descending=True, stable=True)
    return Regions.from_masks(masks[order]).with_scores(scores[order])
