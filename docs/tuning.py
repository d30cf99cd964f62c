"""Make the pages of the methods of tuning: python docs/tuning.py.

Texts come of `densevl/data/tuning.json` and figures of `docs/tuning/scenes.json`, which
`python tools/table.py tune --json docs/tuning/scenes.json` writes.
"""

import json
import re
from pathlib import Path
from typing import Any

from densevl.core.files import read_json
from densevl.metrics.table import said

DOCS = Path(__file__).resolve().parent
METHODS = DOCS.parent / "densevl" / "data" / "tuning.json"
FIGURES = DOCS / "tuning" / "scenes.json"
USUAL = "densevl tune examples.json --method {} --out classes.safetensors"
PARTS = {"tunables": "tunes", "class_texts": "class texts", "losses": "makes small"}


def texts() -> dict[Path, str]:
    """The text of each page that is made, and of each file that has a part that is."""
    methods = read_json(METHODS)
    figures = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.is_file() else {"head": ["method"], "rows": []}
    measured = {row["name"]: row for row in figures["rows"]}
    columns = figures["head"][1:]
    found = {
        DOCS / f"tuning/{name}.md": page(name, method, measured.get(name), columns) for name, method in methods.items()
    }
    nav = "\n".join(f"      - {json.dumps(method['title'])}: tuning/{name}.md" for name, method in methods.items())
    for file, start, part in (
        (DOCS / "tuning/index.md", "<!-- made by docs/tuning.py -->", table(methods, measured, columns)),
        (DOCS.parent / "mkdocs.yml", "      # made by docs/tuning.py", nav),
    ):
        whole = file.read_text(encoding="utf-8")
        end = start.replace("made by", "end of what is made by")
        found[file] = re.sub(f"{start}\n.*?{end}", lambda _: f"{start}\n{part}\n{end}", whole, flags=re.DOTALL)  # noqa: B023
    return found


def page(name: str, method: dict[str, Any], measured: dict[str, Any] | None, columns: list[str]) -> str:
    """The page of a method."""
    reference, licence = method.get("reference"), method.get("licence") or "no licence file"
    rows = [("paper", method["paper"]), ("reference code", f"{reference} ({licence})" if reference else "none")]
    rows += [(title, parts(method["settings"].get(key))) for key, title in PARTS.items()]
    equation = method["equation"]
    parts_of_page = [
        f"# {method['title']}",
        "```text\n{}\n```".format(equation if isinstance(equation, str) else "\n".join(equation)),
        "| | |\n|---|---|\n" + "\n".join(f"| {title} | {text} |" for title, text in rows if text),
        f"```sh\n{method.get('command', USUAL).format(name)}\n```",
    ]
    if method.get("differs"):
        parts_of_page += [
            "## What differs, and what to know",
            "\n".join(f"- {sentence}" for sentence in method["differs"]),
        ]
    if measured is not None:
        cells = " | ".join(said(measured[column]) for column in columns)
        parts_of_page += [
            "## On scenes",
            f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}\n| {cells} |",
            "Measured by `python tools/table.py tune`; [what it measures](index.md#on-scenes).",
        ]
    if method.get("published"):
        lines = "\n".join(f"| {what} | {figure} |" for what, figure in method["published"].items())
        parts_of_page += [
            "## Published figures",
            f"| | |\n|---|---|\n{lines}",
            "Those of the paper, not measured here.",
        ]
    return "\n\n".join(parts_of_page) + "\n"


def parts(settings: Any) -> str:
    """Registered names, each with its settings."""
    found = settings if isinstance(settings, list) else [settings] if settings else []
    return ", ".join(_part(one) for one in found)


def _part(config: Any) -> str:
    if isinstance(config, str):
        return f"`{config}`"
    rest = ", ".join(f"{key} {json.dumps(value)}" for key, value in config.items() if key != "type")
    return f"`{config['type']}`" + (f" ({rest})" if rest else "")


def table(methods: dict[str, Any], measured: dict[str, Any], columns: list[str]) -> str:
    """The table of all methods; those that were measured without a page of their own come first."""
    lines = [f"| method | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    for name in [*(name for name in measured if name not in methods), *methods]:
        title = f"[{methods[name]['title']}]({name}.md)" if name in methods else name
        row = measured.get(name, {})
        lines.append(f"| {title} | {' | '.join(said(row.get(column)) for column in columns)} |")
    return "\n".join(lines)


def main() -> None:
    """Write the pages."""
    for file, text in texts().items():
        file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
