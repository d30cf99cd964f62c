"""``densevl contrast``: words that stand together in captions, for the background mode ``contrast``."""

import argparse
import json
from pathlib import Path
from typing import Any

from densevl.cli.options import add_command

__all__ = ["add"]

EXAMPLES = """\
  densevl contrast captions.txt --out mine.json                 a caption a line; or COCO's captions_train2017.json
  densevl contrast captions.json --words my_words.txt --out mine.json
  densevl segment photo.jpg "dog" --background contrast:mine.json
"""


def add(commands: Any) -> None:
    """Add the parser of the command."""
    summary = "count which words stand together in captions, so that one class has something to contrast with"
    parser = add_command(commands, "contrast", _contrast, summary, examples=EXAMPLES)
    parser.add_argument("captions", nargs="+", type=Path, metavar="FILE", help="text, a caption a line; or JSON")
    parser.add_argument(
        "--words",
        metavar="FILE",
        help="words that are looked for: a vocabulary file or a built-in list (default: common things and the classes "
        "of the built-in lists of photographs)",
    )
    parser.add_argument(
        "--source", default="", metavar="TEXT", help="where the captions come from, to be kept with them"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="JSON file that is written")


def _contrast(options: argparse.Namespace) -> int:
    from densevl.core.contrast import LEAST, MOST, common_words, count_words
    from densevl.core.errors import UsageError
    from densevl.core.files import atomic_write
    from densevl.core.vocabulary import Vocabulary
    from densevl.datasets.captions import read_captions

    words = common_words() if options.words is None else Vocabulary.load(options.words).queries
    counted = count_words(read_captions(options.captions), words)
    counts = counted["counts"]
    if not counts:
        raise UsageError(f"none of the {len(words)} words stands in the captions; name others with --words")
    frequent = [word for word, count in counts.items() if count >= LEAST * counted["captions"]][:MOST]
    source = options.source or f"captions of {', '.join(path.name for path in options.captions)}"
    with atomic_write(options.out) as path:
        content = {"source": source, "words": frequent or list(counts)[:MOST], **counted}
        path.write_text(_written(content), encoding="utf-8")
    print(f"{len(counts)} of {len(words)} words stand in {counted['captions']} captions; {options.out}")
    return 0


def _written(content: dict[str, Any]) -> str:
    """The content of the file, the row of a word in a line."""
    rows = (f"  {json.dumps(word, ensure_ascii=False)}: {_line(row)}" for word, row in content["together"].items())
    parts = {key: _line(value) for key, value in content.items() if key != "together"}
    parts["together"] = "{\n" + ",\n".join(rows) + "\n }"
    return "{\n" + ",\n".join(f' "{key}": {value}' for key, value in parts.items()) + "\n}\n"


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
