"""The taught class of every region of an index, as a file beside it: one JSON object a line.

An index keeps the vectors of its regions, so that they are named without looking at an image again::

    {"image": "photos/7.jpg", "box": [10, 20, 90, 80], "class": "gadget", "confidence": 0.93}
"""

import json
from pathlib import Path

import torch

from densevl.classifiers.classes import Classes
from densevl.classifiers.contracts import check_classifier
from densevl.core.files import atomic_write
from densevl.tasks.search import RegionIndex

__all__ = ["NAMED", "write_named_regions"]

NAMED = "regions.jsonl"

AT_ONCE = 8192


@torch.inference_mode()
def write_named_regions(index: RegionIndex, classes: Classes, space: str, path: Path) -> dict[str, int]:
    """Write the most probable class of each region of an index, and its probability.

    Args:
        index: the regions.
        classes: taught for regions.
        space: of the vectors of the index.
        path: of the file.

    Returns:
        The number of regions of each class.

    Raises:
        UsageError: where the classes were taught for another model, for other vectors, or not for regions.
        OutputError: where the file cannot be written.
    """
    head = classes.head("regions")
    check_classifier(head, index.model_id, space)
    counts = dict.fromkeys(classes.names, 0)
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for start, part in zip(index.starts, index.parts, strict=True):
            for first in range(0, len(part), AT_ONCE):
                vectors = part.vectors[first : first + AT_ONCE]
                best, labels = head(vectors.float()).softmax(1).max(1)
                for row, (confidence, label) in enumerate(
                    zip(best.tolist(), labels.tolist(), strict=True), start + first
                ):
                    if not index.live[row]:  # its image was embedded again since
                        continue
                    found, name = index.hit(row, confidence), head.vocabulary.names[label]
                    counts[name] = counts.get(name, 0) + 1
                    place = {"image": found.image.path, "box": [round(side, 2) for side in found.box]}
                    file.write(json.dumps({**place, "class": name, "confidence": round(confidence, 6)}) + "\n")
    return counts
