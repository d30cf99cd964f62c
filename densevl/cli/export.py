"""``densevl export``: the image path of a model as a graph for other programs."""

import argparse
from pathlib import Path
from typing import Any

from densevl.cli.options import add_command, add_model_options, add_segment_options, load_model

__all__ = ["add"]

EXAMPLES = """\
  densevl export --model mini-maskclip --classes "grass, brick, yellow heart" --out garden.onnx
  densevl export --model dinoiser --set window=null --format torch-export --out dinoiser.pt2
"""


def add(commands: Any) -> None:
    """Add the parser of the command."""
    parser = add_command(
        commands,
        "export",
        _export,
        "write the image path of a model as one graph: ONNX or torch.export",
        "Write the image path of a model as one graph, compare it with the model, and tell in FILE.json how to use it.",
        EXAMPLES,
    )
    parser.add_argument(
        "--classes",
        metavar="CLASSES",
        help="classes that become a part of the graph, as in `densevl segment` (default: their vectors are an input)",
    )
    parser.add_argument("--format", default="onnx", metavar="FORMAT", help="onnx or torch-export (default: onnx)")
    parser.add_argument(
        "--output", default="scores", choices=["scores", "labels"], help="what the graph puts out (default: scores)"
    )
    parser.add_argument(
        "--input", default="uint8", choices=["uint8", "float32"], help="RGB as bytes or in [0, 1] (default: uint8)"
    )
    add_segment_options(parser)
    add_model_options(parser, out=None)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the graph: FILE.onnx or FILE.pt2")
    parser.set_defaults(device="cpu")


def _export(options: argparse.Namespace) -> int:
    from densevl.api.export import check, export

    check(options.format, options.out, options.background, options.classes)  # before a model is loaded
    sidecar = export(
        load_model(options),
        options.out,
        format=options.format,
        classes=options.classes,
        background=options.background,
        output=options.output,
        images=options.input,
    )
    worst = max(one["largest_difference"] for one in sidecar["checks"])
    print(f"{options.out}: as the model, up to {worst:.1g}; see {options.out}.json")
    return 0
