"""COCO's segmentations as run-length codes."""

from typing import Any

import numpy as np
from pycocotools import mask as coco

from densevl.rle import Rle
from densevl.structures import Size

__all__ = ["mask_of"]


def mask_of(segmentation: Any, size: Size | None) -> Rle | None:
    """The mask of an annotation: the union of its polygons, or the mask of its run-length code.

    Some codes add the polygons up and keep the pixels that are 1, which deletes where two overlap.

    Args:
        segmentation: polygons ``[[x, y, x, y, …], …]``, or a run-length code, compressed or not; None or empty for
            none.
        size: (height, width) of the image; None where it is not known, and then there is no mask.

    Raises:
        ValueError: where it is neither.
    """
    if not segmentation or size is None:
        return None
    height, width = size
    if isinstance(segmentation, dict):
        counts = segmentation["counts"]
        if list(segmentation["size"]) != [height, width]:
            raise ValueError(f"a mask of size {segmentation['size']} in an image of {[height, width]}")
        code = coco.frPyObjects(segmentation, height, width) if isinstance(counts, list) else segmentation
    else:
        polygons = [np.asarray(p, float).ravel().tolist() for p in segmentation]
        if any(len(p) < 6 or len(p) % 2 for p in polygons):
            raise ValueError("a polygon needs three points or more")
        code = coco.merge(coco.frPyObjects(polygons, height, width))
    counts = code["counts"]
    return {"size": [height, width], "counts": counts.decode("ascii") if isinstance(counts, bytes) else counts}
