"""Draw a few scenes, the images that the mini models are trained and tested on, with what can be said of them.

python demo/draw_scenes.py scenes 6
"""

import sys
from pathlib import Path

import numpy as np

from densevl.core.drawing.overlay import write_image
from densevl.datasets.scenes import render
from densevl.datasets.scenes.language import caption, expressions


def main(folder: str, count: str = "6") -> None:
    """Write ``count`` images and print a caption and a referring expression of each."""
    for index in range(int(count)):
        scene = render(0, index, size=(384, 512), split="val")
        path = Path(folder) / f"scene_{index}.png"
        write_image(path, scene.image)
        print(f"{path}: {caption(scene, np.random.default_rng(index))}")
        for expression in expressions(scene)[:2]:
            print(f"    {expression.text}")


if __name__ == "__main__":
    main(*sys.argv[1:])
