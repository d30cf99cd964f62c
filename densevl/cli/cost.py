"""``densevl cost``: floating-point operations and parameters of a model."""

import argparse
from pathlib import Path

from densevl.cli.options import add_command, add_model_options, load_model, positive

__all__ = ["add"]

EXAMPLES = """\
  densevl cost --model mini                                    of an image of 512x683 and 150 classes
  densevl cost --model dinoiser --weights random:0 --size 1024x2048 --classes 19     nothing to download
"""


def add(commands: object) -> None:
    """Add the parser of the command."""
    summary = "count the floating-point operations of labelling an image, and the parameters"
    parser = add_command(commands, "cost", _cost, summary, examples=EXAMPLES)
    parser.add_argument("--size", default="512x683", metavar="HxW", help="of the image (default: 512x683)")
    parser.add_argument("--classes", type=positive, default=150, metavar="N", help="how many to label (default: 150)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    add_model_options(parser, out=None)


def _cost(options: argparse.Namespace) -> int:
    from densevl.benchmarks.speed.flops import count_flops
    from densevl.benchmarks.speed.tool import parse_size

    size = parse_size(options.size)
    flops = count_flops(load_model(options), size, options.classes)
    if options.json is not None:
        flops.save(options.json)
    print(flops)
    return 0
