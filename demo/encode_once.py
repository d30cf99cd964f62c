"""Encode an image once, then segment it by several vocabularies: only the words are embedded anew.

python demo/encode_once.py demo/images/garden.png "grass, brick" "green ring, yellow heart, brick" --out out
"""

import argparse
from pathlib import Path

import densevl
from densevl.core.drawing.overlay import write_image


def main() -> None:
    """Print the fraction of the area of each class, and write an overlay, for each vocabulary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("image", help="an image file")
    parser.add_argument("classes", nargs="+", help='one vocabulary each, such as "grass, brick"')
    parser.add_argument("--model", default="mini", help="a name from `densevl models` (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of the overlays (default: %(default)s)")
    options = parser.parse_args()
    model = densevl.load(options.model)
    encoded = model.encode(options.image)
    for number, classes in enumerate(options.classes, start=1):
        result = model.segment(encoded, classes)
        print(", ".join(f"{label} {fraction:.0%}" for label, fraction in result.areas().items()))
        write_image(options.out / f"overlay_{number}.png", result.overlay())


if __name__ == "__main__":
    main()
