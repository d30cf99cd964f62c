"""The work of CLIP-DINOiser's heads on an image, side by side in one image.

The panels: the image with a point; what that point is alike to; where things are seen; the features of MaskCLIP and the
refined ones, in three colours; the labels that come of each; and the label map.

Convention: the image is encoded as one window, so that every patch is compared with every other. Maps are drawn patch
by patch, not smoothed, so that their resolution shows.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from densevl.api.model import ClassesLike, ImageSource, Model
from densevl.core.drawing.legend import LegendEntry, attach_legend, percent
from densevl.core.drawing.lettering import PAPER, letter, line_height, write
from densevl.core.drawing.overlay import draw_overlay
from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings
from densevl.core.geometry import resized_size
from densevl.core.images import read_image, resize_image, to_tensor
from densevl.dense.encoder import read_dense
from densevl.dense.refiners.dinoiser import DinoiserRefiner
from densevl.dense.refiners.sub_patches import whole_patches
from densevl.encoders.contracts import join_needs
from densevl.tasks.segmentation.encoded import EncodedImage
from densevl.tasks.segmentation.segmentor import Segmentor
from densevl.tasks.segmentation.windows import WindowPlan

__all__ = ["compare", "principal_colours"]

PANEL = 420
"""Longer side of a panel, in pixels."""

COLUMNS = 4
GAP = 10
MARK = (255, 64, 64)


def compare(
    model: Model, image: ImageSource, classes: ClassesLike, point: tuple[int, int] | None = None, background: Any = None
) -> UInt8[np.ndarray, "H W 3"]:
    """Draw the labels and features of MaskCLIP beside the refined ones, with affinities, foreground and legend.

    Args:
        model: one with the heads of CLIP-DINOiser.
        image: the image.
        classes: the class names, synonyms grouped.
        point: (x, y) in pixels of the image, whose affinities are drawn; None takes the centre.
        background: background mode; None for the model's own. MaskCLIP, which has no head, goes by the name of the
            background class where the mode is ``head``.

    Raises:
        ImageError: where the image cannot be read.
        UsageError: where the model has no heads, the point lies outside, or the classes cannot be used.
    """
    pixels = read_image(image)
    height, width = pixels.shape[:2]
    x, y = (width // 2, height // 2) if point is None else point
    if not (0 <= x < width and 0 <= y < height):
        raise UsageError(f"point ({x}, {y}) lies outside of the image, which has {width}×{height} pixels")
    segmentor = model.segmentor  # a lazy model is built here, after everything that can be refused without it
    refiners = segmentor.refiners if isinstance(segmentor, Segmentor) else ()
    heads = next((r for r in refiners if isinstance(r, DinoiserRefiner)), None)
    if heads is None or not isinstance(segmentor, Segmentor):
        raise UsageError(f"model {model.name!r} has no heads to look at; take one such as dinoiser")
    texts = model.embed_classes(classes, background)
    images = _resized(segmentor, pixels)
    before = _encode(segmentor, heads, images, pixels)
    with torch.inference_mode():
        after = replace(before, features=heads(before.features, images))
        likeness = _affinity(heads, before, whole_patches(images, before.features.patch_size), (x, y))
    labels = [_labels(segmentor, encoded, texts) for encoded in (before, after)]
    colours = principal_colours(before.features.grid[0], after.features.grid[0])
    picture = _shrink(pixels)
    marked = cv2.circle(picture.copy(), _on(picture, (x, y), pixels), 6, MARK, 2, cv2.LINE_AA)
    panels = {
        "image and point": marked,
        "patches like the point": _heat(picture, likeness),
        "foreground": _heat(picture, after.features.foreground[0].float().sigmoid()),  # type: ignore[index]
        "label map": _overlay(pixels, labels[1], texts, alpha=1.0),
        "features of MaskCLIP": _enlarge(colours[0], picture),
        "refined features": _enlarge(colours[1], picture),
        "labels of MaskCLIP": _overlay(pixels, labels[0], texts),
        "refined labels": _overlay(pixels, labels[1], texts),
    }
    return attach_legend(_mosaic(panels), _legend(labels[1], texts), size=_letters(picture))


def _resized(segmentor: Segmentor, pixels: UInt8[np.ndarray, "H W 3"]) -> Float[Tensor, "1 3 _ _"]:
    """The image in the size that the segmentor encodes."""
    size = pixels.shape[:2]
    if segmentor.short_side is not None:
        size = resized_size(size, segmentor.short_side, segmentor.long_side)
    return to_tensor(resize_image(pixels, size))[None].to(segmentor.device)


@torch.inference_mode()
def _encode(
    segmentor: Segmentor, heads: DinoiserRefiner, images: Float[Tensor, "1 3 _ _"], pixels: UInt8[np.ndarray, "H W 3"]
) -> EncodedImage:
    """The resized image as one window, as MaskCLIP sees it, with the map that the heads read."""
    dense = segmentor.dense
    needs = join_needs([heads.needs, segmentor.stages.needs])
    features = read_dense(dense.encoder, images, dense.readout, needs, positions=dense.positions, border=dense.border)
    plan = WindowPlan((images.shape[2], images.shape[3]), None)
    return EncodedImage(features, plan, pixels.shape[:2], pixels)


def _affinity(
    heads: DinoiserRefiner, encoded: EncodedImage, images: Float[Tensor, "1 3 _ _"], point: tuple[int, int]
) -> Float[Tensor, "h w"]:
    """Cosines of the patch, or sub-patch, under a point with all others."""
    descriptors = heads.descriptors(encoded.features.maps[heads.layer], images)
    units = F.normalize(descriptors[0].float(), dim=0)
    patch = heads.sub_patch or encoded.features.patch_size
    (rows, columns), (height, width) = encoded.plan.size, encoded.size
    column, row = (int((point[0] + 0.5) * columns / width) // patch, int((point[1] + 0.5) * rows / height) // patch)
    return torch.einsum("c,chw->hw", units[:, row, column], units)


def _labels(segmentor: Segmentor, encoded: EncodedImage, texts: TextEmbeddings) -> np.ndarray:
    """Labels, without the background head where there is none."""
    words = texts if encoded.features.foreground is not None else replace(texts, delta=None)
    return segmentor.label(encoded, words)[0].cpu().numpy()


def principal_colours(*grids: Float[Tensor, "d _ _"]) -> list[UInt8[np.ndarray, "_ _ 3"]]:
    """Features as colours: their three directions of largest variance over all grids are red, green and blue.

    The same colour means the same direction in every grid. Features are compared by direction, as in labelling.

    Args:
        grids: features on patch grids, each any size.
    """
    units = torch.cat([F.normalize(grid.float().flatten(1), dim=0).T for grid in grids])
    centred = units - units.mean(0)
    _, directions = torch.linalg.eigh(centred.T @ centred)
    directions = directions[:, -3:].flip(1)
    directions = directions * directions.gather(0, directions.abs().argmax(0, keepdim=True)).sign()
    values = centred @ directions
    low, high = torch.quantile(values, torch.tensor([0.02, 0.98], device=values.device), dim=0)
    colours = ((values - low) / (high - low).clamp_min(1e-12)).clamp(0, 1).mul(255).round().byte().cpu()
    pieces = colours.split([grid[0].numel() for grid in grids])
    return [piece.numpy().reshape(*grid.shape[1:], 3) for piece, grid in zip(pieces, grids, strict=True)]


def _shrink(pixels: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """An image in the size of a panel."""
    factor = PANEL / max(pixels.shape[:2])
    size = max(1, round(pixels.shape[1] * factor)), max(1, round(pixels.shape[0] * factor))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_NEAREST)


def _enlarge(values: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """A map of patches in the size of a panel."""
    return cv2.resize(values, picture.shape[1::-1], interpolation=cv2.INTER_NEAREST)


def _on(picture: np.ndarray, point: tuple[int, int], pixels: np.ndarray) -> tuple[int, int]:
    """A point of the image on its panel."""
    down, right = (new / old for new, old in zip(picture.shape[:2], pixels.shape[:2], strict=True))
    return int((point[0] + 0.5) * right), int((point[1] + 0.5) * down)


def _heat(picture: UInt8[np.ndarray, "h w 3"], values: Float[Tensor, "_ _"]) -> UInt8[np.ndarray, "h w 3"]:
    """Values of patches, from 0 (dark) to 1 (bright), over the image in grey."""
    scaled = values.clamp(0, 1).mul(255).round().byte().cpu().numpy()
    colours = cv2.cvtColor(cv2.applyColorMap(_enlarge(scaled, picture), cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    grey = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(grey, 0.25, colours, 0.75, 0)


def _overlay(
    pixels: UInt8[np.ndarray, "H W 3"], labels: np.ndarray, texts: TextEmbeddings, alpha: float = 0.55
) -> UInt8[np.ndarray, "h w 3"]:
    vocabulary = texts.vocabulary
    drawn = draw_overlay(pixels, labels, vocabulary.names, vocabulary.palette, alpha=alpha, legend=False)
    return _shrink(drawn)


def _legend(labels: np.ndarray, texts: TextEmbeddings) -> list[LegendEntry]:
    """The refined labels' classes with their fractions of the area, the largest first."""
    counts = np.bincount(labels.ravel(), minlength=len(texts.vocabulary))
    names, palette = texts.vocabulary.names, texts.vocabulary.palette
    order = [int(label) for label in np.argsort(-counts, kind="stable") if counts[label]]
    return [LegendEntry(names[i], percent(float(counts[i] / labels.size)), palette[i]) for i in order]


def _letters(panel: UInt8[np.ndarray, "h w 3"]) -> int:
    """Height of the letters beside panels, in pixels."""
    return max(13, panel.shape[1] // 22)


def _mosaic(panels: Mapping[str, UInt8[np.ndarray, "h w 3"]]) -> UInt8[np.ndarray, "H W 3"]:
    """Panels of one size in rows, each under its caption, on white paper."""
    height, width = next(iter(panels.values())).shape[:2]
    size = _letters(next(iter(panels.values())))
    top = line_height(size)
    rows = -(-len(panels) // COLUMNS)
    paper = np.full((rows * (top + height + GAP), COLUMNS * (width + GAP) - GAP, 3), PAPER, np.uint8)
    for index, (caption, panel) in enumerate(panels.items()):
        row, column = divmod(index, COLUMNS)
        y, x = row * (top + height + GAP), column * (width + GAP)
        write(paper, letter(caption, size, width), y, x)
        paper[y + top : y + top + height, x : x + width] = panel
    return paper
