"""Segment one image: print the fraction of the area of each class, write the overlay and the label map.

python demo/segment_image.py demo/images/garden.png "grass, brick, yellow heart" mini
"""

import sys

import densevl
from densevl.core.drawing.overlay import write_image


def main(path: str, classes: str, name: str | None = None) -> None:
    """Write ``overlay.png`` and ``labels.png`` in the current folder."""
    result = densevl.load(name).segment(path, classes)
    for label, fraction in result.areas().items():
        print(f"{fraction:7.1%}  {label}")
    write_image("overlay.png", result.overlay())
    result.save("labels.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
