"""``densevl compare``: MaskCLIP and CLIP-DINOiser side by side in one picture."""

import argparse
from pathlib import Path
from typing import Any

from densevl.cli.options import add_model_options, load_model, positive

__all__ = ["add"]

EXAMPLES = """\
examples:
  densevl compare photo.jpg "cat, sofa|couch, floor" --point 320,200
  densevl compare demo/images/garden.png "grass, brick, green ring" --model mini
"""


def add(commands: Any) -> None:
    """Add the parser of the command."""
    parser = commands.add_parser(
        "compare",
        help="show what the heads of a model do to an image, side by side",
        description="Draw MaskCLIP and the refined features, affinities, foreground and labels in one picture.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("image", type=Path, metavar="IMAGE")
    parser.add_argument("classes", metavar="CLASSES", help="as in `densevl segment`: 'cat, sofa|couch, floor'")
    parser.add_argument("--point", type=_point, metavar="X,Y", help="pixel whose affinities are drawn (the centre)")
    parser.add_argument("--background", metavar="MODE", help="as in `densevl segment`")
    parser.add_argument("--short-side", type=positive, metavar="PX", help="resize the image to this short side")
    add_model_options(parser)
    parser.set_defaults(run=_compare)


def _compare(options: argparse.Namespace) -> int:
    from densevl.core.background import Background
    from densevl.core.images import read_image
    from densevl.core.vocabulary import Vocabulary

    # What cannot be used is said before a model is loaded.
    image, vocabulary = read_image(options.image), Vocabulary.parse(options.classes)
    background = Background.parse(options.background) if options.background else None

    from densevl.api.jobs.compare import compare
    from densevl.core.drawing.overlay import write_image

    model = load_model(options, short_side=options.short_side)
    path = options.out / f"{options.image.stem}.compare.png"
    write_image(path, compare(model, image, vocabulary, options.point, background))
    print(path)
    return 0


def _point(text: str) -> tuple[int, int]:
    """Two pixel coordinates, as a type of arguments."""
    try:
        x, y = map(int, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"write a point as X,Y, such as 320,200; got {text!r}") from None
    return x, y
