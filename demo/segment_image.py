"""Segment one image: print the fraction of the area of each class, write the overlay and the label map.

python demo/segment_image.py demo/images/garden.png "grass, brick, yellow heart" --out out
"""

import argparse
from pathlib import Path

import densevl
from densevl.core.drawing.overlay import write_image


def main() -> None:
    """Write ``overlay.png`` and ``labels.png``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("image", help="an image file")
    parser.add_argument("classes", help='the classes, such as "grass, brick, yellow heart"')
    parser.add_argument("--model", default="mini", help="a name from `densevl models` (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of the results (default: %(default)s)")
    options = parser.parse_args()
    result = densevl.load(options.model).segment(options.image, options.classes)
    for label, fraction in result.areas().items():
        print(f"{fraction:7.1%}  {label}")
    write_image(options.out / "overlay.png", result.overlay())
    result.save(options.out / "labels.png")


if __name__ == "__main__":
    main()
