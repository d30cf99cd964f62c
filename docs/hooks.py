"""Text that the site takes from the repository while it is built, so that it is written once and stays true."""

import argparse
import os
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fill in ``<!-- help of every command -->`` and ``<!-- file NAME -->``, a file of the repository's root."""
    markdown = re.sub(r"<!-- help of every command -->", lambda _: _helps(), markdown)
    return re.sub(r"<!-- file (\S+) -->", lambda match: _file(match[1]), markdown)


def _file(name: str) -> str:
    """Text of a file, with its links as they are from a folder of ``docs``."""
    return (ROOT / name).read_text(encoding="utf-8").replace("](docs/", "](../")


def _helps() -> str:
    """A section for each command with what ``--help`` prints."""
    from densevl.cli import _parser

    os.environ["COLUMNS"] = "84"
    commands = next(action for action in _parser()._actions if isinstance(action, argparse._SubParsersAction))
    return "\n\n".join(
        f"## densevl {name}\n\n```text\n{command.format_help()}```" for name, command in commands.choices.items()
    )
