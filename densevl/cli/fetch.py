"""``densevl fetch``: bring the weights of models here, or into a folder for a machine without a network."""

import argparse
from pathlib import Path
from typing import Any

from densevl.cli.options import add_command

__all__ = ["add"]

EXAMPLES = """\
  densevl fetch dinoiser fgvp-b16              into the cache, before they are needed
  densevl fetch dinoiser --to usb/weights      for another machine: copy the folder, set DENSEVL_CACHE to it
  densevl fetch naclip@clip-vit-l14-openai sam2 owlv2
"""


def add(commands: Any) -> None:
    """Add the parser of the command."""
    parser = add_command(
        commands,
        "fetch",
        _fetch,
        "bring the weights of models here, or into a folder for a machine without a network",
        "Fetch and check all files of models. Running again goes on where it stopped.",
        EXAMPLES,
    )
    parser.add_argument(
        "names", nargs="+", metavar="NAME", help="of `densevl models`, HEAD@ENCODER, or weights such as sam-vit-b"
    )
    parser.add_argument("--to", type=Path, metavar="FOLDER", help="lay them out there, in the place of densevl's cache")


def _fetch(options: argparse.Namespace) -> int:
    from densevl.api.jobs.fetch import fetch_weights

    done = fetch_weights(options.names, options.to, lambda line: print(line, flush=True))
    if not done:
        print("nothing to fetch: these weights come with densevl")
    elif options.to is not None:
        print(f"Copy {options.to} to the other machine. There, with FOLDER for the place of the copy:")
        print("  export DENSEVL_CACHE=FOLDER DENSEVL_OFFLINE=1")
    return 0
