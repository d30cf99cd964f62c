"""Lists of images: a path or a URL a line, in a file, in a bucket or on standard input.

Blank lines and lines that begin with ``#`` are skipped. Paths are relative to the folder of the list; those of standard
input to the current folder.
"""

import sys
from pathlib import Path

from densevl.core.errors import ImageError, UsageError
from densevl.core.inputs.remote import is_remote, open_stored

__all__ = ["STANDARD_INPUT", "read_list"]

STANDARD_INPUT = "-"
"""The argument that means standard input."""


def read_list(argument: str) -> tuple[Path | str, list[tuple[str, str]]]:
    """The folder that the entries of a list are relative to; and for each entry, where it stands and what it says.

    Args:
        argument: ``@list.txt``, ``@s3://bucket/list.txt``, or ``-`` for standard input.

    Raises:
        UsageError: where the list cannot be read, is no text or has no entry.
    """
    standard = argument == STANDARD_INPUT
    named = argument.removeprefix("@")
    path = named if is_remote(named) else Path(named).expanduser()
    name = "standard input" if standard else f"the list {path}"
    try:
        content = sys.stdin.buffer.read() if standard else _content(path)
        text = content.decode("utf-8-sig")
        if "\0" in text:
            raise ValueError
    except ImageError as error:
        raise UsageError(f"{name} cannot be read: {error}") from None
    except OSError as error:
        raise UsageError(f"{name} cannot be read: {error.strerror or error}; check the path behind @") from None
    except ValueError:
        cure = "a list names one path or URL a line, in UTF-8"
        raise UsageError(f"{name} is no list of images (it starts with {content[:12]!r}); {cure}") from None
    lines = [(f"line {number} of {name}", line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    entries = [(where, line) for where, line in lines if line and not line.startswith("#")]
    if not entries:
        raise UsageError(f"{name} is empty; write one path or URL a line")
    if isinstance(path, str):
        return path.rpartition("/")[0], entries
    return Path() if standard else path.parent, entries


def _content(path: Path | str) -> bytes:
    with open_stored(path) as file:
        return bytes(file.read())
