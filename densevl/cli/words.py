"""``densevl words``: the words that a model knows; and what other commands say of how it read theirs."""

import argparse
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from densevl.cli.options import add_command
from densevl.core.errors import UsageError, suggestion

__all__ = ["add", "say_remarks"]

EXAMPLES = """\
  densevl words --model photo ca       the words that start so: classes that each covers, and its meaning
  densevl words --model photo          those that cover most
  densevl words --model photo ca --json
"""

MOST = 40
"""Words that are listed where no beginning is given."""


def add(commands: Any) -> None:
    """Add the parser of the command."""
    parser = add_command(commands, "words", _words, "list the words that a model knows", examples=EXAMPLES)
    parser.add_argument("text", nargs="?", default="", metavar="TEXT", help="how they start")
    parser.add_argument("--model", default="photo", metavar="NAME", help="see `densevl models` (default: photo)")
    parser.add_argument("--json", action="store_true", help="print JSON, of all words unless TEXT is given")


def say_remarks(understood: Any) -> None:
    """Say what one should know of how a model read its words.

    Args:
        understood: what :meth:`densevl.Model.read_words` or ``read_texts`` gave.
    """
    for line in () if understood is None else understood.remarks:
        print(f"densevl: {line}", file=sys.stderr)


def _words(options: argparse.Namespace) -> int:
    from densevl.api.models import models, named_model

    if not _reads_words(named_model(options.model)[0]):
        able = ", ".join(name for name, entry in models().items() if _reads_words(entry))
        print(f"{options.model} takes any text: name what you look for. Models that know certain words: {able}")
        return 0

    from densevl.encoders.texts.lexicon import lexicon

    words = lexicon()
    found = words.starting(options.text) if options.text or options.json else words.widest[:MOST]
    if not found:
        raise UsageError(f"no word starts with {options.text!r}; {suggestion(options.text, words.words)}")
    if options.json:
        print(json.dumps([_record(one, words.classes) for one in found], ensure_ascii=False, indent=1))
        return 0
    print("\n".join(_table(found, words.classes, shutil.get_terminal_size().columns)))
    if not options.text:
        print(f"\nThese cover most of {len(words.words)} words; write how others start: densevl words ca")
    return 0


def _reads_words(entry: Any) -> bool:
    """Whether the encoder of a model knows certain words."""
    return any(file.kind == "efficientnet" for file in entry.files)


def _table(readings: Sequence[Any], names: Sequence[str], columns: int) -> Iterator[str]:
    """A line for each meaning of each word, for a terminal of so many columns."""
    senses = [(sense, reading.why) for reading in readings for sense in (reading.sense, *reading.others)]
    width = max(len("word"), *(len(sense.name) for sense, _ in senses))
    yield f"{'word':{width}}  classes  meaning"
    for sense, why in senses:
        line = f"{sense.name:{width}}  {len(sense.classes):7}  {why or sense.meaning} ({_some(sense.classes, names)})"
        yield line if len(line) <= columns else f"{line[: columns - 1]}…"


def _some(classes: Sequence[int], names: Sequence[str]) -> str:
    """The names of the first classes."""
    return ", ".join(names[index] for index in classes[:3]) + (", …" if len(classes) > 3 else "")


def _record(reading: Any, names: Sequence[str]) -> dict[str, Any]:
    return {
        "word": reading.word,
        "senses": [
            {
                "name": sense.name,
                "meaning": sense.meaning,
                "classes": {index: names[index] for index in sense.classes},
            }
            for sense in (reading.sense, *reading.others)
        ],
        "remarks": list(reading.remarks),
    }
