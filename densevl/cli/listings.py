"""``densevl models`` and ``densevl env``: what there is, and what a bug report needs."""

import argparse
from typing import Any

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the parsers of both commands."""
    models = commands.add_parser("models", help="list the models: size, licence, whether their weights are here")
    models.set_defaults(run=_models)
    env = commands.add_parser("env", help="print what a bug report needs")
    env.set_defaults(run=_env)


def _models(options: argparse.Namespace) -> int:
    from densevl.api.models import models

    entries = models()
    width = max(map(len, entries))
    for name, entry in entries.items():
        state = "here" if entry.cached else "to fetch"
        print(f"{name:{width}}  {entry.size / 1e6:7.0f} MB  {state:8}  {entry.licence:10}  {entry.description}")
    return 0


def _env(options: argparse.Namespace) -> int:
    from densevl.cli.environment import describe

    print(describe())
    return 0
