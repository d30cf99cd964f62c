"""Polygons of masks.

Convention: the frame is that of pixel corners. A pixel (x, y) is the square from (x, y) to (x + 1, y + 1), so that a
mask of one pixel is a polygon of area 1, and the polygon of a whole image runs from (0, 0) to (width, height). Outlines
run along the edges of pixels, round the mask and not through the middles of its outermost pixels.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Int32
from pycocotools import mask as coco

from densevl.core.geometry import Size
from densevl.core.masks import connected_parts

__all__ = ["MIN_IOU", "Polygon", "polygons_of"]

MIN_IOU = 0.95
"""Least intersection over union of a connected part of a mask and its simplified polygon, filled as COCO fills."""

_TOLERANCES = (1.0, 0.5)
"""Greatest distances of a simplified outline from the exact one, in pixels, that are tried one after the other."""


@dataclass(frozen=True, eq=False)
class Polygon:
    """A connected area.

    Attributes:
        outline: (x, y) of its corners.
        holes: corners of the outline of each hole, in the other direction; a hole may touch the outline in a point.
    """

    outline: Int32[np.ndarray, "n 2"]
    holes: tuple[Int32[np.ndarray, "_ 2"], ...] = ()

    def ring(self) -> Int32[np.ndarray, "m 2"]:
        """One outline of the same area, for formats that know no holes.

        A hole is joined to the outline by a cut of no width, which is run there and back. Filled by the even-odd or by
        the non-zero rule, it is the same area.
        """
        ring = self.outline
        for hole in sorted(self.holes, key=lambda hole: min(map(tuple, hole.tolist()))):
            turned = np.roll(hole, -int(np.lexsort(hole.T[::-1])[0]), axis=0)  # to begin at the left
            near = int(np.abs(ring - turned[0]).sum(1).argmin())
            ring = np.concatenate([ring[: near + 1], turned, turned[:1], ring[near:]])
        return ring


def polygons_of(mask: Bool[np.ndarray, "h w"], x: int = 0, y: int = 0, simplify: bool = True) -> list[Polygon]:
    """One polygon for each connected part of a mask, in the order of the parts' first pixels, row by row.

    Args:
        mask: of an image, or cut out of one.
        x: column of the image where the mask begins.
        y: row of the image where the mask begins.
        simplify: leave out corners that hardly matter. A polygon then has an intersection over union of
            :data:`MIN_IOU` or more with its part; without it, it is exact and runs round every pixel.
    """
    numbers, count = connected_parts(mask)
    return [_polygon(numbers == number, x, y, simplify) for number in range(1, count + 1)]


def _polygon(part: Bool[np.ndarray, "h w"], x: int, y: int, simplify: bool) -> Polygon:
    rows, columns = np.flatnonzero(part.any(1)), np.flatnonzero(part.any(0))
    crop = part[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    exact = _outlines(crop)
    candidates = (_simplified(exact, tolerance) for tolerance in _TOLERANCES if simplify)
    chosen = next((found for found in candidates if found and _iou(found, crop) >= MIN_IOU), exact)
    offset = np.array([x + columns[0], y + rows[0]], np.int32)
    return Polygon(chosen.outline + offset, tuple(hole + offset for hole in chosen.holes))


def _outlines(crop: Bool[np.ndarray, "h w"]) -> Polygon:
    """The exact polygon of a connected mask.

    OpenCV joins the middles of the outermost pixels. With every pixel doubled, those middles lie a quarter of a pixel
    inside of the edge, on either side of each corner: rounded outwards, they are the corners.
    """
    doubled = np.repeat(np.repeat(crop.astype(np.uint8), 2, axis=0), 2, axis=1)
    contours, hierarchy = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    rings = [_corners((contour[:, 0].astype(np.int32) + 1) // 2) for contour in contours]
    outer = [ring for ring, place in zip(rings, hierarchy[0], strict=True) if place[3] < 0]
    return Polygon(outer[0], tuple(ring for ring, place in zip(rings, hierarchy[0], strict=True) if place[3] >= 0))


def _corners(ring: Int32[np.ndarray, "n 2"]) -> Int32[np.ndarray, "m 2"]:
    """The ring without points that repeat, or that lie within a straight side."""
    ring = ring[(ring != np.roll(ring, 1, axis=0)).any(1)]
    before, behind = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    return ring[before[:, 0] * behind[:, 1] != before[:, 1] * behind[:, 0]]


def _simplified(polygon: Polygon, tolerance: float) -> Polygon | None:
    """The polygon by Douglas and Peucker (1973); None where nothing is left of its outline."""
    outline, *holes = (cv2.approxPolyDP(ring, tolerance, True)[:, 0] for ring in (polygon.outline, *polygon.holes))
    return Polygon(outline, tuple(hole for hole in holes if len(hole) > 2)) if len(outline) > 2 else None


def _iou(polygon: Polygon, crop: Bool[np.ndarray, "h w"]) -> float:
    size: Size = crop.shape  # type: ignore[assignment]
    filled = coco.frPyObjects([polygon.ring().ravel().astype(float).tolist()], *size)
    return float(coco.iou(filled, [coco.encode(np.asfortranarray(crop).view(np.uint8))], [0])[0, 0])
