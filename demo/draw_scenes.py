"""Draw a few scenes, the images that the mini models are trained and tested on, with what can be said of them.

python demo/draw_scenes.py --out scenes --count 6
"""

import argparse
from pathlib import Path

import numpy as np

from densevl.core.drawing.overlay import write_image
from densevl.datasets.scenes import render
from densevl.datasets.scenes.language import caption, expressions


def main() -> None:
    """Write the images; print a caption and two referring expressions of each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("scenes"), help="folder of the images (default: %(default)s)")
    parser.add_argument("--count", type=int, default=6, help="number of scenes (default: %(default)s)")
    options = parser.parse_args()
    for index in range(options.count):
        scene = render(0, index, size=(384, 512), split="val")
        path = options.out / f"scene_{index}.png"
        write_image(path, scene.image)
        print(f"{path}: {caption(scene, np.random.default_rng(index))}")
        for expression in expressions(scene)[:2]:
            print(f"    {expression.text}")


if __name__ == "__main__":
    main()
