"""Find what an expression refers to: print what each component contributes, write the ranking as a picture.

python demo/refer_expression.py demo/images/garden.png "the heart right of the ring" --out out
"""

import argparse
from pathlib import Path

import densevl
from densevl.core.drawing.overlay import write_image
from densevl.tasks.grounding.picture import draw_ranking


def main() -> None:
    """Print the five best regions and write ``ranking.png``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("image", help="an image file")
    parser.add_argument("expression", help='what to find, such as "the heart right of the ring"')
    parser.add_argument("--model", default="mini", help="a name from `densevl models` (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of the picture (default: %(default)s)")
    options = parser.parse_args()
    model = densevl.load(options.model)
    encoded = model.encode_regions(options.image)  # once; refer as often as you like
    found = model.refer(encoded, options.expression)
    print(found.explain(top=5))
    write_image(options.out / "ranking.png", draw_ranking(encoded.image, found))


if __name__ == "__main__":
    main()
