"""Encode an image once, then ask it several things: only the words are embedded anew.

python demo/encode_once.py demo/images/garden.png mini "grass, brick" "green ring, yellow heart, brick"
"""

import sys

import densevl


def main(path: str, name: str, *questions: str) -> None:
    """Print the share of each class for each question."""
    model = densevl.load(name)
    encoded = model.encode(path)
    for question in questions:
        areas = model.segment(encoded, question).areas()
        print(", ".join(f"{label} {share:.0%}" for label, share in areas.items()))


if __name__ == "__main__":
    main(*sys.argv[1:])
