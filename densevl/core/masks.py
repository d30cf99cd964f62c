"""Masks as COCO run-length codes, compressed: a few hundred bytes in the place of one for each pixel."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypedDict

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Int, Int32, UInt8
from pycocotools import mask as coco
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.core.geometry import Size

__all__ = [
    "Rle",
    "check_masks",
    "connected_parts",
    "decode_masks",
    "encode_masks",
    "letters_of_runs",
    "mask_of",
]

MOST_DIGITS = 12
"""Letters of a number of a code, at most: five bits each of 64."""


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
    check_masks(codes, size)
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


def check_masks(codes: Sequence[Rle], size: Size, names: Sequence[str] = ()) -> None:
    """Make sure that codes can be decoded: COCO's decoder would read or write where it must not.

    Args:
        codes: of masks of one image.
        size: (height, width) of the image.
        names: what messages call them; none for their numbers.

    Raises:
        UsageError: where one is of another size, or no code of this many pixels.
    """
    names = names or [f"mask {number}" for number in range(len(codes))]
    for code, name in zip(codes, names, strict=True):
        if list(code["size"]) != list(size):
            raise UsageError(f"{name} has size {list(code['size'])}; expected {list(size)}, as the image")
    pixels = size[0] * size[1]
    texts = [code["counts"] for code in codes]
    if not texts or _are_codes(texts, pixels):
        return
    name = next(name for name, text in zip(names, texts, strict=True) if not _are_codes([text], pixels))
    raise UsageError(f"{name} is no run-length code of {size[0]} x {size[1]} pixels; write it anew")


def _are_codes(codes: Sequence[str], pixels: int) -> bool:
    """True where the runs of each code cover so many pixels; :func:`letters_of_runs` says how it is written."""
    text = "".join(codes)
    if not text.isascii():
        return False
    letters = np.frombuffer(text.encode("ascii"), np.uint8)
    bits = letters - np.uint8(48)  # what is below comes out above
    is_end = bits & 32 == 0
    stops = np.cumsum([len(code) for code in codes])
    if not all(codes) or bits.max() >= 64 or not is_end[stops - 1].all():
        return False
    ends = np.flatnonzero(is_end)
    starts = np.append(0, ends[:-1] + 1)
    digits = ends - starts + 1
    if digits.max() > MOST_DIGITS:
        return False
    places = np.arange(len(bits)) - np.repeat(starts, digits)
    values = np.add.reduceat((bits & 31).astype(np.int64) << (5 * places), starts)
    values -= (bits[ends] & 16 != 0).astype(np.int64) << (5 * digits)
    if abs(values).max() > pixels:  # so that no sum below runs over
        return False
    firsts = [0, *np.searchsorted(ends, stops[:-1]).tolist()]
    for start, stop in pairwise([*firsts, len(ends)]):
        for first in (start + 1, start + 2):
            values[first:stop:2] = values[first:stop:2].cumsum()
    return bool(values.min() >= 0) and bool((np.add.reduceat(values, firsts) == pixels).all())


def letters_of_runs(codes: Sequence[Int[np.ndarray, " _"]]) -> list[str]:
    """Codes as COCO writes them, of the lengths of their runs, the first of pixels outside of the mask.

    A letter holds five bits, the lowest first, and whether more follow; the highest bit is the sign. From the fourth
    run on what is written is the difference to the run before the last.

    Args:
        codes: lengths of the runs of each, one or more.
    """
    if not codes:
        return []
    values = np.concatenate(codes, dtype=np.int64)
    ends = np.cumsum([len(runs) for runs in codes])
    for end, runs in zip(ends, codes, strict=True):
        values[end - len(runs) + 3 : end] -= runs[1:-2]
    letters, more = list[UInt8[np.ndarray, " n"]](), np.ones(len(values), bool)
    written = list[Bool[np.ndarray, " n"]]()
    while more.any():
        digits = values & 31
        values = values >> 5
        written.append(more)
        more = more & (values != np.where(digits & 16, -1, 0))
        letters.append((digits + 32 * more + 48).astype(np.uint8))
    is_letter = np.stack(written, 1)
    text = np.stack(letters, 1)[is_letter].tobytes().decode("ascii")
    bounds = [0, *np.cumsum(is_letter.sum(1))[ends - 1].tolist()]
    return [text[start:end] for start, end in pairwise(bounds)]


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
