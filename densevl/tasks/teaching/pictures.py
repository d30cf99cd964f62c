"""Pictures of what was learnt: the examples class by class, and confusion and reliability of held-out examples."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from densevl.core.drawing.confusion import draw_confusion
from densevl.core.drawing.reliability import draw_reliability
from densevl.core.drawing.sheets import Tile, tile_sheet
from densevl.core.images import read_image
from densevl.datasets.examples import Example
from densevl.metrics.calibration import reliability
from densevl.tasks.sequences.pictures import few_frames
from densevl.tasks.teaching.fitting import HeldOut
from densevl.tasks.teaching.teacher import Taught

__all__ = ["confusion_picture", "example_sheet", "reliability_picture", "sequence_sheet"]

SIDE, CONTEXT = 120, 1.35
"""Side of a tile in pixels, and how much more than the example it shows."""

EACH, MOST = 8, 96
"""Examples that are shown of a class, and in all."""

LINE, RIM, PAPER = (255, 196, 0), (20, 20, 20), 236


def example_sheet(taught: Taught) -> UInt8[np.ndarray, "h w 3"]:
    """The examples on one sheet, class by class; wrong answers for held-out ones are said below them."""
    held = next((one for one in taught.held_out.values() if one is not None), None)
    answers: dict[int, int] = {}
    if held is not None:
        answers = dict(zip(held.examples.tolist(), held.probabilities.argmax(1).tolist(), strict=True))
    names, tiles = taught.classes.names, []
    for label, name in enumerate(names):
        own = [number for number, other in enumerate(taught.labels) if other == label]
        for number in own[:EACH]:
            answer, example = answers.get(number, label), taught.examples[number]
            note = example.image.name if answer == label else f"held out: {names[answer]}"
            if isinstance(example, Example):
                tiles.append(Tile(_tile(example), name, note))
    shown = tiles[:MOST]
    note = f"{len(taught.examples)} examples of {len(names)} classes; {len(shown)} are shown"
    return tile_sheet(shown, "What was shown", note, EACH)


def sequence_sheet(taught: Taught) -> UInt8[np.ndarray, "h w 3"]:
    """Sequences on one sheet, class by class, each as four of its frames in reading order."""
    names, tiles = taught.classes.names, []
    for label, name in enumerate(names):
        own = [number for number, other in enumerate(taught.labels) if other == label]
        for number in own[:EACH]:
            path = taught.examples[number].image
            tiles.append(Tile(_four(path), name, path.name))
    shown = tiles[:MOST]
    note = f"{len(taught.examples)} sequences of {len(names)} classes; {len(shown)} are shown"
    return tile_sheet(shown, "What was shown", note, EACH)


def _four(path: Path) -> UInt8[np.ndarray, "s s 3"]:
    """Four frames of a sequence in a square, evenly from the first to the last; fewer where there are fewer."""
    tile, half = np.full((SIDE, SIDE, 3), PAPER, np.uint8), SIDE // 2 - 1
    for place, image in enumerate(few_frames(path, half)):
        y, x = (half + 2) * (place // 2), (half + 2) * (place % 2)
        tile[y : y + image.shape[0], x : x + image.shape[1]] = image
    return tile


def confusion_picture(held: HeldOut, names: Sequence[str]) -> UInt8[np.ndarray, "H W 3"]:
    """Which class held-out examples of each class were taken for."""
    matrix = np.zeros((len(names), len(names)), np.int64)
    np.add.at(matrix, (held.labels.numpy(), held.probabilities.argmax(1).numpy()), 1)
    return draw_confusion(matrix, names, "held-out examples")


def reliability_picture(held: HeldOut, bins: int = 10) -> UInt8[np.ndarray, "H W 3"]:
    """How often answers of a confidence were right."""
    best, answers = held.probabilities.max(1)
    found = reliability(best.double().numpy(), (answers == held.labels).numpy(), bins)
    title = f"{len(held.labels)} held-out examples, ECE {found.expected_error:.3f}"
    return draw_reliability(found.confidences, found.accuracies, found.weights, title)


def _tile(example: Example) -> UInt8[np.ndarray, "s s 3"]:
    """An example with what lies round it, outlined."""
    image = read_image(example.image)
    size = (image.shape[0], image.shape[1])
    mask, point = example.mask_in(size), example.point_in(size)
    x0, y0, x1, y1 = example.box_in(size)
    if mask is not None:
        rows, columns = mask.any(1).nonzero().flatten(), mask.any(0).nonzero().flatten()
        x0, y0, x1, y1 = float(columns[0]), float(rows[0]), float(columns[-1]) + 1, float(rows[-1]) + 1
    scale = SIDE / (CONTEXT * max(x1 - x0, y1 - y0))
    left, top = (x0 + x1) / 2 - SIDE / scale / 2, (y0 + y1) / 2 - SIDE / scale / 2
    near = image if scale > 1 / 3 else cv2.GaussianBlur(image, (0, 0), 0.4 / scale)
    to_tile = np.array([[scale, 0, (0.5 - left) * scale - 0.5], [0, scale, (0.5 - top) * scale - 0.5]])
    tile = cv2.warpAffine(near, to_tile, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderValue=(PAPER,) * 3)
    if mask is not None:
        inside = cv2.warpAffine(mask.numpy().astype(np.float32), to_tile, (SIDE, SIDE)) > 0.5
        outlines, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    else:
        corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]) - (left, top)
        outlines = [np.rint(corners * scale).astype(np.int32)[:, None]]
    for colour, width in ((RIM, 4), (LINE, 2)):
        cv2.polylines(tile, outlines, True, colour, width, cv2.LINE_AA)
    if point is not None:
        x, y = (np.array(point) - (left, top)) * scale
        cv2.circle(tile, (round(float(x)), round(float(y))), 4, LINE, -1, cv2.LINE_AA)
    return tile
