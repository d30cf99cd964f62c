"""Masks as COCO run-length codes, compressed: a few hundred bytes in the place of one for each pixel."""

from collections.abc import Sequence
from typing import Any, TypedDict

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Int32
from pycocotools import mask as coco
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.core.geometry import Size

__all__ = ["Rle", "connected_parts", "decode_masks", "encode_masks", "mask_of"]


class Rle(TypedDict):
    """One mask: ``size`` is [height, width], ``counts`` the code as COCO's result files hold it."""

    size: list[int]
    counts: str


def encode_masks(masks: Bool[Tensor, "n H W"]) -> list[Rle]:
    """The codes of masks; equal masks have equal codes."""
    columns = np.asfortranarray(masks.cpu().permute(1, 2, 0).numpy().view(np.uint8))
    return [{"size": list(code["size"]), "counts": code["counts"].decode("ascii")} for code in coco.encode(columns)]


def decode_masks(codes: Sequence[Rle], size: tuple[int, int]) -> Bool[Tensor, "n H W"]:
    """The masks of codes.

    Args:
        codes: of masks of one image, perhaps none.
        size: (height, width) of the image.

    Raises:
        UsageError: where a code is of another size, or no code of this many pixels.
    """
    if not codes:
        return torch.zeros(0, *size, dtype=torch.bool)
    for i, code in enumerate(codes):
        if list(code["size"]) != list(size):
            raise UsageError(f"mask {i} has size {list(code['size'])}; expected {list(size)}, as the image")
        if not _is_code(code["counts"], size[0] * size[1]):  # COCO's decoder would read or write where it must not
            raise UsageError(f"mask {i} is no run-length code of {size[0]} x {size[1]} pixels; write it anew")
    masks = coco.decode([{"size": list(size), "counts": code["counts"].encode("ascii")} for code in codes])
    return torch.from_numpy(np.ascontiguousarray(masks.transpose(2, 0, 1))).bool()


def connected_parts(mask: Bool[np.ndarray, "h w"]) -> tuple[Int32[np.ndarray, "h w"], int]:
    """The number of the connected part that each pixel of a mask lies in, and how many parts there are.

    Two pixels are connected where they share an edge. Parts count from 1 in the order of their first pixels, row by
    row; 0 is outside of the mask.
    """
    count, numbers = cv2.connectedComponents(np.ascontiguousarray(mask, np.uint8), connectivity=4)
    values, firsts = np.unique(numbers, return_index=True)
    values = values[np.argsort(firsts)]
    ordered = np.zeros(count, np.int32)  # OpenCV's own order depends on its version and on the processor
    ordered[values[values > 0]] = np.arange(1, count)
    return ordered[numbers], count - 1


def _is_code(counts: str, pixels: int) -> bool:
    """True where the runs of a code cover so many pixels.

    A letter holds five bits, the lowest first, and whether more follow; the highest bit is the sign. From the fourth
    run on what is written is the difference to the run before the last.
    """
    runs: list[int] = []
    value = shift = 0
    for letter in counts:
        bits = ord(letter) - 48
        if not 0 <= bits < 64:
            return False
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return shift == 0 and min(runs, default=-1) >= 0 and sum(runs) == pixels


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
