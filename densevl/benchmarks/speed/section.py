"""The place of measured figures in a page: between two comments, of which the first names it."""

import os
import re
from pathlib import Path

from densevl.core.errors import UsageError
from densevl.core.files import atomic_write

__all__ = ["write_section"]


def write_section(page: str | os.PathLike[str], name: str, text: str) -> None:
    """Put a text between ``<!-- name -->`` and ``<!-- /name -->`` of a page, in the place of what is there.

    Raises:
        UsageError: where the page does not have both comments once, in this order.
        OutputError: where it cannot be written.
    """
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    path = Path(page)
    if not path.is_file():
        raise UsageError(f"{path}: no such page")
    before = path.read_text(encoding="utf-8")
    found = re.findall(f"{re.escape(start)}.*?{re.escape(end)}", before, re.DOTALL)
    if len(found) != 1:
        raise UsageError(f"{path} must hold {start} and {end} once, around the place of the figures")
    with atomic_write(path) as temporary:
        temporary.write_text(before.replace(found[0], f"{start}\n{text.strip()}\n{end}"), encoding="utf-8")
