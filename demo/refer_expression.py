"""Find what an expression refers to: print what each component contributes, write the ranking as a picture.

python demo/refer_expression.py demo/images/garden.png "the heart right of the ring" mini
"""

import sys

import densevl
from densevl.core.drawing.overlay import write_image
from densevl.tasks.grounding.picture import draw_ranking


def main(path: str, expression: str, name: str = "fgvp") -> None:
    """Write ``ranking.png`` in the current folder."""
    model = densevl.load(name)
    encoded = model.encode_regions(path)  # once; refer as often as you like
    found = model.refer(encoded, expression)
    print(found.explain(top=5))
    write_image("ranking.png", draw_ranking(encoded.image, found))


if __name__ == "__main__":
    main(*sys.argv[1:])
