"""``densevl cost``: floating-point operations and parameters of a model, and what it takes on this machine."""

import argparse
from dataclasses import asdict
from pathlib import Path

from densevl.cli.options import add_command, add_model_options, load_model, positive

__all__ = ["add"]

EXAMPLES = """\
  densevl cost --model mini                                    of an image of 512x683 and 150 classes
  densevl cost --model dinoiser --weights random:0 --size 1024x2048 --classes 19     nothing to download
  densevl cost --model naclip --weights random:0 --measure 3     seconds and memory on this machine, too
"""


def add(commands: object) -> None:
    """Add the parser of the command."""
    summary = "count the floating-point operations of labelling an image, and the parameters"
    parser = add_command(commands, "cost", _cost, summary, examples=EXAMPLES)
    parser.add_argument("--size", default="512x683", metavar="HxW", help="of the image (default: 512x683)")
    parser.add_argument("--classes", type=positive, default=150, metavar="N", help="how many to label (default: 150)")
    parser.add_argument("--measure", type=positive, metavar="N", help="also label an image N times: time and memory")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    add_model_options(parser, out=None)


def _cost(options: argparse.Namespace) -> int:
    from densevl.benchmarks.speed.flops import count_flops
    from densevl.benchmarks.speed.tool import parse_size
    from densevl.benchmarks.speed.used import measure_used

    size = parse_size(options.size)
    model = load_model(options)
    flops = count_flops(model, size, options.classes)
    used = None if options.measure is None else measure_used(model, size, options.classes, options.measure)
    if options.json is not None:
        flops.save(options.json, None if used is None else {"used": asdict(used)})
    print(flops)
    if used is not None:
        print(used)
    return 0
