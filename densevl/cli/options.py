"""Options that commands share: the model, where it runs, where results go."""

import argparse
import sys
from pathlib import Path
from typing import Any

__all__ = ["add_model_options", "load_model", "positive"]


def add_model_options(parser: argparse.ArgumentParser, default: str | None = None, out: str = "out") -> None:
    """Which model, with which weights, where it runs, and where its results go; a segmentor where none is named."""
    named = default or "dinoiser; offline, with its weights missing, maskclip"
    parser.add_argument("--model", default=default, help=f"see `densevl models` (default: {named})")
    parser.add_argument("--weights", metavar="FILE", help="weights in the place of the model's own")
    parser.add_argument("--out", type=Path, default=Path(out), metavar="FOLDER", help=f"results (default: {out})")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps (default: a GPU where there is one)")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--offline", action="store_true", help="never reach for the network")


def load_model(options: argparse.Namespace, **overrides: Any) -> Any:
    """The :class:`densevl.Model` that the options name; overrides that are None are left out."""
    from densevl.api.loading import load
    from densevl.api.models import default_model

    name = options.model
    if name is None:
        name, reason = default_model(options.offline)
        print(f"densevl: model {name}: {reason}; --model takes another", file=sys.stderr)
    return load(
        name,
        weights=options.weights,
        device=options.device,
        dtype=options.dtype,
        offline=options.offline,
        **{name: value for name, value in overrides.items() if value is not None},
    )


def positive(text: str) -> int:
    """A number above zero, as a type of arguments."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a positive number; got {text}")
    return value
