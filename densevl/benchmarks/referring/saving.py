"""Answers to referring expressions written as files: JSON for programs, images for people."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8
from mmengine.hooks import Hook
from mmengine.structures import BaseDataElement

from densevl.core.drawing.overlay import write_image
from densevl.core.files import atomic_write
from densevl.core.geometry import box_ious
from densevl.metrics.overlaps import Answer

__all__ = ["SaveAnswers", "draw_answer"]

TRUE, RIGHT, WRONG = (255, 255, 255), (30, 200, 60), (230, 30, 30)
KEPT = 5
"""Boxes of an answer that are written."""


class SaveAnswers(Hook):
    """Write what was answered to the expressions of every image, under the image's relative path.

    Args:
        out: folder of a JSON file an image: each expression with the true box and the first boxes; None for none.
        show_dir: folder of an image an expression: the true box white, the chosen one green or red; None for none.
    """

    def __init__(self, out: str | Path | None = None, show_dir: str | Path | None = None) -> None:
        self.out, self.show_dir = out, show_dir

    def after_test_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Sequence[BaseDataElement] | None = None
    ) -> None:
        """Write the answers of a batch."""
        for sample in outputs or ():
            if "failure" in sample:
                continue
            name = Path(sample.relative_path)
            expected = [(text, ref.box) for ref in sample.refs for text in ref.sentences]
            answered = [(text, box, answer) for (text, box), answer in zip(expected, sample.answers, strict=True)]
            if self.out is not None:
                _write(Path(self.out) / name.with_suffix(".json"), [_record(*entry) for entry in answered])
            if self.show_dir is not None:
                image = runner.test_dataloader.dataset.picture(sample.sample_idx)
                for index, (_, box, answer) in enumerate(answered):
                    target = Path(self.show_dir) / name.with_suffix("") / f"{index:03d}.png"
                    write_image(target, draw_answer(image, answer, box))


def draw_answer(
    image: UInt8[np.ndarray, "H W 3"], answer: Answer, true: Sequence[int | float]
) -> UInt8[np.ndarray, "H W 3"]:
    """A copy of the image with the true box in white and the chosen one in green where it is right, else in red."""
    drawn = image.copy()
    line = max(1, round(min(image.shape[:2]) / 200))
    boxes = [(true, TRUE)]
    if len(answer.boxes):
        boxes.append((answer.boxes[0], RIGHT if box_ious(answer.boxes[:1], true)[0] > 0.5 else WRONG))
    for box, colour in boxes:
        x0, y0, x1, y1 = (round(float(value)) for value in box)
        cv2.rectangle(drawn, (x0, y0), (x1 - 1, y1 - 1), colour, line)
    return drawn


def _record(text: str, true: Sequence[int | float], answer: Answer) -> dict[str, Any]:
    first = answer.boxes[:KEPT]
    ious = [round(iou, 4) for iou in box_ious(first, true).tolist()]
    return {"expression": text, "true": list(true), "boxes": first.tolist(), "iou": ious, "reason": answer.reason}


def _write(path: Path, records: list[dict[str, Any]]) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(records, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
