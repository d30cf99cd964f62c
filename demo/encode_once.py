"""Encode an image once, then segment it by several vocabularies: only the words are embedded anew.

python demo/encode_once.py demo/images/garden.png mini "grass, brick" "green ring, yellow heart, brick"
"""

import sys

import densevl


def main(path: str, name: str, *vocabularies: str) -> None:
    """Print the fraction of the area of each class, for each vocabulary."""
    model = densevl.load(name)
    encoded = model.encode(path)
    for classes in vocabularies:
        areas = model.segment(encoded, classes).areas()
        print(", ".join(f"{label} {fraction:.0%}" for label, fraction in areas.items()))


if __name__ == "__main__":
    main(*sys.argv[1:])
