"""Scenes as scored examples: how large an object is, and how near it is to the left side of its image.

Half of the scenes have one object, and the whole image is the example; the others have two to five, and each object is
an example by its box.
"""

import json
from pathlib import Path

import cv2
import numpy as np

from densevl.core.files import atomic_write
from densevl.datasets.scenes.scene import SceneObject, Split, render

__all__ = ["RANKED", "write_ranks"]

RANKED = {
    "larger": lambda item: float(item.mask.mean()),
    "nearer the left": lambda item: 1 - float(np.nonzero(item.mask)[1].mean()) / item.mask.shape[1],
}
"""Texts, and the score of an object for each: the part of the image that it fills, and its distance from the right."""


def write_ranks(folder: str | Path, seed: int, scenes: int, size: int = 128, split: Split = "train") -> Path:
    """Draw scenes, and write them with their scores for ``densevl tune --method ranking-adapter``.

    Args:
        folder: of the images and of ``ranks.json``; it is made.
        seed: number of the collection.
        scenes: how many there are.
        size: side of the scenes in pixels.
        split: which pairs of colour and shape are drawn.

    Returns:
        The file of the scores.

    Raises:
        OutputError: where it cannot be written.
    """
    folder, records = Path(folder), []
    for index in range(scenes):
        whole = index % 2 == 0
        scene = render(seed, index, size, split, count=(1, 1) if whole else (2, 5))
        name = f"{index:05}.png"
        with atomic_write(folder / name) as temporary:
            temporary.write_bytes(cv2.imencode(".png", cv2.cvtColor(scene.image, cv2.COLOR_RGB2BGR))[1].tobytes())
        for item in scene.objects:
            place = {} if whole else {"box": list(item.box)}
            records += [{"image": name, "text": text, "score": _rounded(item, text), **place} for text in RANKED]
    with atomic_write(folder / "ranks.json") as temporary:
        temporary.write_text(json.dumps(records) + "\n", encoding="utf-8")
    return folder / "ranks.json"


def _rounded(item: SceneObject, text: str) -> float:
    return round(RANKED[text](item), 5)
