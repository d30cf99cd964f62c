"""Make the pages of the dense heads: python docs/heads.py [--pictures [HEAD ...]].

Texts come of `densevl/data/heads.json` and figures of `docs/heads/scenes.json`, which
`python tools/table.py dense --json docs/heads/scenes.json` writes. Pictures are drawn with `--pictures` alone.
"""

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from densevl.api.heads import BENCHMARKS, USUAL, Head, heads
from densevl.api.models import model_entry
from densevl.metrics.table import said

DOCS = Path(__file__).resolve().parent
SCENE = {"seed": 21, "index": 4}
"""The held-out scene of the pictures."""
SIDE = 256
"""Side of a picture in pixels."""
RIGHT, WRONG = (238, 238, 238), (214, 40, 40)
PICTURES = DOCS / "images/heads"
NAMES = " | ".join(BENCHMARKS.values())
MEASURED = ("grounds", "seen pairs", "never-seen pairs", "all", "ms", "gain over MaskCLIP")


def texts() -> dict[Path, str]:
    """The text of each page that is made, and of each file that has a part that is."""
    figures = {row["name"]: row for row in json.loads((DOCS / "heads/scenes.json").read_text(encoding="utf-8"))["rows"]}
    found = {DOCS / f"heads/{name}.md": page(head, figures.get(head.mini)) for name, head in heads().items()}
    nav = "\n".join(f"      - {json.dumps(head.title)}: heads/{name}.md" for name, head in heads().items())
    for file, start, part in (
        (DOCS / "heads/index.md", "<!-- made by docs/heads.py -->", table(figures)),
        (DOCS.parent / "mkdocs.yml", "      # made by docs/heads.py", nav),
    ):
        whole = file.read_text(encoding="utf-8")
        end = start.replace("made by", "end of what is made by")
        found[file] = re.sub(f"{start}\n.*?{end}", lambda _: f"{start}\n{part}\n{end}", whole, flags=re.DOTALL)  # noqa: B023
    return found


def page(head: Head, measured: dict[str, Any] | None) -> str:
    """The page of a head."""
    code = f"{head.reference} ({head.licence or 'no licence file'})" if head.reference else "none"
    parts = [
        f"# {head.title}",
        f"`{head.name}`: {model_entry(head.name).description}.",
        f"```text\n{head.equation}\n```",
        f"| | |\n|---|---|\n| paper | {head.paper} |\n| reference code | {code} |\n| reads | {head.needs} |",
        f'```sh\ndensevl segment photo.jpg "cat, sofa" --model {head.name}\n```',
    ]
    if head.differs:
        parts += ["## What differs, and what to know", "\n".join(f"- {sentence}" for sentence in head.differs)]
    parts += ["## On scenes", *on_scenes(head, measured)]
    if head.published:
        lines = [f"| `{encoder}` | {published(row)} |" for encoder, row in head.published.items()]
        heading = f"| encoder | {NAMES} | mean of the 8 |\n|{'---|' * (len(BENCHMARKS) + 2)}"
        parts += ["## Published figures", "\n".join([heading, *lines]), "mIoU of the paper, not measured here."]
    return "\n\n".join(parts) + "\n"


def published(row: dict[str, float]) -> str:
    """The cells of the benchmarks, and their mean where none is missing."""
    cells = [f"{row[name]:.1f}" if name in row else "" for name in BENCHMARKS]
    return " | ".join([*cells, f"{fmean(row.values()):.1f}" if len(row) == len(BENCHMARKS) else ""])


def on_scenes(head: Head, measured: dict[str, Any] | None) -> list[str]:
    """What its mini model makes of scenes."""
    if not head.mini:
        return [f"It has no mini model: {head.why}"]
    parts = []
    if (PICTURES / f"{head.name}.png").is_file():
        about = f"Its label map by {head.mini}, and in red what is wrong of it"
        parts = [f"![A scene](../images/heads/scene.jpg) ![{about}](../images/heads/{head.name}.png)"]
    if measured is None or measured["all"] is None:
        return [*parts, f"`{head.mini}` was not measured yet."]
    cells = " | ".join(said(measured[name]) for name in MEASURED)
    shows = measured["shows here"]
    gain = f" The published gain, {head.gain:+.1f}, shows here: {shows}." if shows and head.gain is not None else ""
    return [
        *parts,
        f"| `{head.mini}` | {' | '.join(MEASURED)} |\n|{'---|' * (len(MEASURED) + 1)}\n| mIoU | {cells} |",
        f"Measured by `python tools/table.py dense`; [how to read it](index.md#on-scenes).{gain}",
    ]


def table(figures: dict[str, dict[str, Any]]) -> str:
    """The table of all heads."""
    lines = [
        "| head | reads | published, mean of 8 | on scenes: all | gain over MaskCLIP | ms |",
        "|---|---|---|---|---|---|",
    ]
    for name, head in heads().items():
        row = figures.get(head.mini, {})
        scenes = [said(row.get(column)) for column in ("all", "gain over MaskCLIP", "ms")]
        lines.append(f"| [{head.title}]({name}.md) | {head.needs} | {best_known(head)} | {' | '.join(scenes)} |")
    return "\n".join(lines)


def best_known(head: Head) -> str:
    """The published mean on the usual encoder, or on the first that has all eight figures, which is then named."""
    for encoder in (USUAL, *head.published):
        row = head.published.get(encoder, {})
        if len(row) == len(BENCHMARKS):
            return f"{fmean(row.values()):.1f}" + ("" if encoder == USUAL else f" (`{encoder}`)")
    return ""


def draw(names: Sequence[str]) -> None:
    """A scene as the mini model of each head labels it; of all heads where none is named."""
    import numpy as np

    import densevl
    from densevl.core.drawing.overlay import write_image
    from densevl.core.drawing.sheets import beside
    from densevl.core.vocabulary import Vocabulary
    from densevl.datasets.scenes import render

    scene = render(SCENE["seed"], SCENE["index"], split="val")
    classes = Vocabulary.load("scenes")
    palette = np.array(classes.palette, np.uint8)
    write_image(PICTURES / "scene.jpg", _enlarged(scene.image))
    write_image(PICTURES / "truth.png", _enlarged(palette[scene.labels]))
    for name, head in heads().items():
        if head.mini and (not names or name in names):
            found = densevl.load(head.mini, device="cpu").segment(scene.image, classes)
            wrong = np.where((found.labels == scene.labels)[..., None], RIGHT, WRONG).astype(np.uint8)
            write_image(PICTURES / f"{name}.png", beside([_enlarged(palette[found.labels]), _enlarged(wrong)]))


def _enlarged(picture: Any) -> Any:
    times = SIDE // len(picture)
    return picture.repeat(times, 0).repeat(times, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the pages of the dense heads.")
    parser.add_argument("--pictures", nargs="*", metavar="HEAD", help="draw pictures, too: of these heads, or of all")
    names = parser.parse_args().pictures
    if names is not None:
        draw(names)
    for file, text in texts().items():
        file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
