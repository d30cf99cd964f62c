"""``densevl compare``: MaskCLIP and CLIP-DINOiser side by side in one image."""

import argparse
from pathlib import Path
from typing import Any

from densevl.cli.options import add_command, add_model_options, add_segment_options, load_model, numbers
from densevl.cli.words import say_remarks

__all__ = ["add"]

EXAMPLES = """\
  densevl compare photo.jpg "cat, sofa|couch, floor" --point 320,200
  densevl compare demo/images/garden.png "grass, brick, green ring" --model mini
"""


def add(commands: Any) -> None:
    """Add the parser of the command."""
    parser = add_command(
        commands,
        "compare",
        _compare,
        "show what the heads of a model do to an image, side by side",
        "Draw MaskCLIP and the refined features, affinities, foreground and labels in one image.",
        EXAMPLES,
    )
    parser.add_argument("image", type=Path, metavar="IMAGE")
    parser.add_argument("classes", metavar="CLASSES", help="as in `densevl segment`: 'cat, sofa|couch, floor'")
    point = numbers(int, "X,Y", "320,200")
    parser.add_argument("--point", type=point, metavar="X,Y", help="pixel whose affinities are drawn (the centre)")
    add_segment_options(parser)
    add_model_options(parser)


def _compare(options: argparse.Namespace) -> int:
    from densevl.core.background import Background
    from densevl.core.vocabulary import Vocabulary

    # What cannot be used is said before a model is loaded.
    vocabulary = Vocabulary.parse(options.classes)
    background = Background.parse(options.background) if options.background else None

    from densevl.api.jobs.compare import compare
    from densevl.core.drawing.overlay import write_image

    path = options.out / f"{options.image.stem}.compare.png"
    model = load_model(options, lazy=True)
    write_image(path, compare(model, options.image, vocabulary, options.point, background))
    say_remarks(model.read_words(vocabulary, background))
    print(path)
    return 0
