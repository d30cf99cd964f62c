"""Time to draw visual prompts, beside the published procedure: one region after the other, each from the start."""

import time
from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import UInt8
from PIL import Image, ImageFilter

from densevl.benchmarks.speed.cost import measure
from densevl.core.geometry import Size
from densevl.core.regions import Regions
from densevl.metrics.table import Table
from densevl.regions.visual_prompts.areas import ellipse_areas
from densevl.regions.visual_prompts.canvas import KEYPOINT_RADIUS
from densevl.regions.visual_prompts.draw import canvas, marked_by_each
from densevl.regions.visual_prompts.table import Style, VisualPrompt, colour, visual_prompt

__all__ = ["benchmark_visual_prompts", "draw_one_by_one", "drawn_from_seed"]


USUAL = (
    ("crop",),
    ("contour",),
    ("circle",),
    ("blur_box_mask",),
    ("blur_circle_mask",),
    ("grayscale_mask",),
    ("blur_mask",),
    ("crop", "blur_mask"),  # what regions are embedded by where nothing else is chosen
    ("crop", "contour", "grayscale_mask", "blur_mask"),  # the paper's best: P | D1, D3, D4
)
"""Visual prompts that regions are marked with in one go."""


def benchmark_visual_prompts(
    prompts: Sequence[str] | None = None,
    count: int = 20,
    size: Size = (480, 640),
    short_side: int = 384,
    repetitions: int = 5,
) -> Table:
    """Measure three procedures in turn on an image of noise with elliptical regions, drawn from a seed.

    Args:
        prompts: names of visual prompts, which share one canvas where we draw; None for the usual sets, one by one.
        count: number of regions.
        size: (height, width) of the image.
        short_side: of the marked images, in pixels.
        repetitions: of each measurement; one more comes first and is not counted.

    Returns:
        A row for each set: milliseconds of processor time by the published procedure, by our code for the same bytes,
        and by our code in its own style; behind the latter two, how many times faster they are.
    """
    image, regions = drawn_from_seed(count, size)
    compatible, own = Style(compatible=True), Style()

    def one_by_one(names: Sequence[str]) -> None:
        for name in names:
            draw_one_by_one(image, regions, name, short_side, compatible)

    def ours(names: Sequence[str], style: Style) -> None:
        for _ in marked_by_each(canvas(image, short_side, style), regions, names):
            pass

    rows = []
    for names in USUAL if prompts is None else [prompts]:
        work = {
            "one by one": lambda: one_by_one(names),  # noqa: B023
            "same bytes": lambda: ours(names, compatible),  # noqa: B023
            "own style": lambda: ours(names, own),  # noqa: B023
        }
        costs = measure(work, repetitions, clock=time.process_time)
        published, same, default = (1e3 * costs[name].median for name in work)
        rows.append((" + ".join(names), (published, same, published / same, default, published / default)))
    head = ("", "one by one, ms", "same bytes, ms", "times faster", "own style, ms", "times faster")
    height, width = size
    note = f"medians of {repetitions} runs, {count} regions of a {width}×{height} image, marked at {short_side} pixels"
    return Table(head, rows, note)


def drawn_from_seed(count: int, size: Size) -> tuple[UInt8[np.ndarray, "H W 3"], Regions]:
    """An image of smooth noise, and regions with elliptical masks in it."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (12, 16, 3), np.uint8)
    image = cv2.resize(noise, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
    sides = torch.tensor([size[1], size[0]])
    centres = torch.from_numpy(rng.uniform(0.2, 0.8, (count, 2))).float() * sides
    radii = torch.from_numpy(rng.uniform(0.05, 0.18, (count, 2))).float() * sides
    return image, Regions.from_masks(ellipse_areas(centres, radii, size))


def draw_one_by_one(
    image: UInt8[np.ndarray, "H W 3"], regions: Regions, name: str | VisualPrompt, size: int | None, style: Style
) -> UInt8[np.ndarray, "n h w 3"]:
    """Mark each region as the published code does: image and masks are resized once, all else is done for each.

    The bytes are those of :func:`densevl.regions.visual_prompts.draw` in a compatible style; the arguments are its.
    """
    prompt = visual_prompt(name)
    short = min(image.shape[:2]) if size is None else size
    masks = None if regions.masks is None else regions.masks[:, None]
    if prompt.frame == "crop":
        drawn = [_one_crop(image, regions.boxes[i], masks[i] if masks is not None else None, prompt, short, style)
                 for i in range(len(regions))]  # fmt: skip
        return np.stack(drawn)
    picture = _by_pillow(image, short)
    height, width = picture.shape[:2]
    scale = torch.tensor([width / image.shape[1], height / image.shape[0]]).repeat(2)
    boxes = (regions.boxes * scale).clamp(min=0).minimum(torch.tensor([width - 1, height - 1] * 2)).numpy()
    if masks is not None:
        masks = F.interpolate(masks.float(), (height, width), mode="bilinear", align_corners=False) > 0
    return np.stack(
        [
            _one(picture.copy(), box, None if masks is None else masks[i, 0].numpy(), prompt, short, style)
            for i, box in enumerate(boxes)
        ]
    )


def _by_pillow(image: np.ndarray, short: int) -> np.ndarray:
    scale = short / min(image.shape[:2])
    height, width = (int(side * scale + 0.5) for side in image.shape[:2])
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def _one_crop(
    image: np.ndarray, box: torch.Tensor, mask: torch.Tensor | None, prompt: VisualPrompt, short: int, style: Style
) -> np.ndarray:
    x0, y0, x1, y1 = box.int().tolist()
    x1, y1 = max(x1, x0 + 1), max(y1, y0 + 1)
    picture = _by_pillow(image[y0:y1, x0:x1], short)
    area = np.ones(picture.shape[:2], bool)
    if prompt.area == "mask" and mask is not None:
        cut = mask[None, :, y0:y1, x0:x1]
        area = (F.interpolate(cut.float(), picture.shape[:2], mode="bilinear", align_corners=False) > 0)[0, 0].numpy()
    drawn = torch.from_numpy(_fill(picture, area, prompt, style)).permute(2, 0, 1)[None].float()
    squashed = F.interpolate(drawn, (short, short), mode="bilinear", align_corners=False)
    return squashed[0].permute(1, 2, 0).round().byte().numpy()


def _one(
    picture: np.ndarray, box: np.ndarray, mask: np.ndarray | None, prompt: VisualPrompt, short: int, style: Style
) -> np.ndarray:
    x0, y0, x1, y1 = box.tolist()
    corners = (int(x0), int(y0)), (int(x1), int(y1))
    centre = int(x0 + 0.5 * (x1 - x0)), int(y0 + 0.5 * (y1 - y0))
    axes = int((x1 - x0) / 2), int((y1 - y0) / 2)
    area = np.zeros(picture.shape[:2], np.uint8)
    if prompt.area == "box":
        cv2.rectangle(area, *corners, 1, -1)
    elif prompt.area == "circle":
        cv2.ellipse(area, centre, axes, 0, 0, 360, 1, -1)
    elif mask is not None:
        area = mask.astype(np.uint8)
    picture = _fill(picture, area > 0, prompt, style)
    if prompt.outline:
        line, thickness = colour(style.line), int(style.thickness)
        if prompt.area == "box":
            cv2.rectangle(picture, *corners, line, thickness)
        elif prompt.area == "circle":
            cv2.ellipse(picture, centre, axes, 0, 0, 360, line, thickness)
        elif prompt.area == "point":
            middle = int((x0 + x1) / 2), int((y0 + y1) / 2)
            cv2.circle(picture, middle, int(KEYPOINT_RADIUS * short), line, thickness)
        else:
            contours, _ = cv2.findContours(area, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
            cv2.drawContours(picture, contours, -1, line, thickness)
    return picture


def _fill(picture: np.ndarray, area: np.ndarray, prompt: VisualPrompt, style: Style) -> np.ndarray:
    """Tint, blur, grey or paint over one picture, by OpenCV and Pillow."""
    tint = np.array(colour(style.fill), np.uint8)
    if "tint" in (prompt.inside, prompt.outside):
        overlay = picture.copy()
        overlay[area if prompt.inside == "tint" else ~area] = tint
        return cv2.addWeighted(overlay, style.alpha, picture, 1 - style.alpha, 0)
    if prompt.outside == "flat":
        picture[~area] = tint
    elif prompt.outside == "grey":
        grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)[:, :, None].repeat(3, -1)
        picture[~area] = grey[~area]
    elif prompt.outside == "blur":
        sharp = Image.fromarray(picture)
        blurred = sharp.filter(ImageFilter.GaussianBlur(style.blur))
        blurred.paste(sharp, mask=Image.fromarray(area))
        return np.array(blurred)
    return picture
