"""The pages of the README and of the documentation, and what is written in them."""

import re
from pathlib import Path
from typing import NamedTuple

__all__ = ["ROOT", "Block", "blocks", "pages", "prose", "shell_commands"]

ROOT = Path(__file__).resolve().parents[2]


class Block(NamedTuple):
    """A fenced block of code.

    Attributes:
        language: what stands behind the fence, such as ``python``.
        text: its lines.
        line: number of its first line in the page.
    """

    language: str
    text: str
    line: int


def pages() -> list[Path]:
    """README, changelog and contributing guide, then all pages of the site."""
    return [*(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")), *(ROOT / "docs").rglob("*.md")]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in their order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in re.finditer(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL):
        indent, language, body = match.groups()
        body = re.sub(f"^{indent}", "", body, flags=re.MULTILINE)
        found.append(Block(language, body, text[: match.start(3)].count("\n") + 1))
    return found


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^( *)```.*?^\1```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def shell_commands(page: Path) -> list[str]:
    """The commands of a page's blocks of a shell, one each; those joined by ``&&`` apart."""
    lines = []
    for block in blocks(page):
        if block.language == "sh":
            lines += block.text.splitlines()
        if block.language == "console":
            lines += [line[2:] for line in block.text.splitlines() if line.startswith("$ ")]
    return [command.strip() for line in lines for command in line.split(" && ") if command.strip()]
