"""The options of commands that work on many things: where the work is done, and by how many."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from densevl.cli.options import positive
from densevl.core.errors import UsageError

if TYPE_CHECKING:
    from densevl.core.engine import Engine

__all__ = ["add_worker_options", "engine_of", "given_engine"]


def add_worker_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of where work is done.

    Args:
        parser: of the command; it has the option of the device, too.
    """
    group = parser.add_argument_group("where the work is done")
    group.add_argument(
        "--workers", type=positive, default=1, metavar="N", help="processes, or workers of Ray (default: 1)"
    )
    group.add_argument(
        "--ray",
        nargs="?",
        const="local",
        type=_address,
        metavar="ADDRESS",
        help="work with Ray Data: on the cluster at ADDRESS, on the one that runs on this machine (auto), or on one "
        "that is started here (local, or no address)",
    )
    group.add_argument(
        "--threads", type=positive, metavar="N", help="of each worker (default: the processor is divided among them)"
    )
    group.add_argument(
        "--log", type=Path, metavar="FILE", help="add a line of JSON to this file for each event of the run"
    )


def engine_of(options: argparse.Namespace) -> "Engine":
    """The engine that the options name; each worker of a cluster takes a GPU where the device is one.

    Raises:
        UsageError: where the device cannot be used, or is a certain GPU, which a cluster does not give.
    """
    from densevl.core.engine import Engine

    engine = Engine(options.workers, options.ray, options.threads, log=options.log)
    if engine.is_here:
        return engine
    from densevl.api.loading import choose_device

    device = choose_device(options.device)
    if device.index is not None:
        raise UsageError(f"--device {device} is one GPU, and each worker gets its own; write --device {device.type}")
    return replace(engine, gpus=float(device.type == "cuda"))


def given_engine(arguments: dict[str, Any]) -> dict[str, "Engine"]:
    """The engine as an argument named ``engine``, where any option of :func:`add_worker_options` is given.

    Args:
        arguments: of a command on the device of its choice; the options are taken out.

    Raises:
        UsageError: as :func:`engine_of`.
    """
    own = {name: arguments.pop(name, None) for name in ("workers", "ray", "threads", "log")}
    if own == {"workers": 1, "ray": None, "threads": None, "log": None}:
        return {}
    return {"engine": engine_of(argparse.Namespace(device=None, **own))}


def _address(text: str) -> str:
    """An address of a cluster, as a type of arguments; another word behind ``--ray`` is no address."""
    host, _, port = text.rpartition(":")
    if text in ("auto", "local") or text.startswith("ray://") or (host and port.isdecimal()):
        return text
    raise argparse.ArgumentTypeError(f"write auto, local, or HOST:PORT of a cluster; got {text!r}")
