"""``densevl recognise``: what happens in sequences of frames, by classes that were taught for sequences."""

import argparse
import json
from pathlib import Path
from typing import Any

from densevl.cli.options import add_command, add_model_options, load_model
from densevl.cli.taught import read_taught
from densevl.core.errors import UsageError

__all__ = ["add"]

EXAMPLES = """\
  densevl recognise clip.mp4 --classes near.safetensors           a video
  densevl recognise clips/*/ --classes near.safetensors --out found.json     folders of frames
"""


def add(commands: Any) -> None:
    """Add the parser of the command."""
    parser = add_command(
        commands,
        "recognise",
        _recognise,
        "say what happens in videos or folders of frames",
        "Say which class each sequence is, of classes that `densevl teach --for sequences` wrote.",
        EXAMPLES,
    )
    parser.add_argument(
        "sequences", nargs="+", type=Path, metavar="SEQUENCE", help="a video, or a folder or an archive of frames"
    )
    parser.add_argument("--classes", type=Path, required=True, metavar="FILE", help="what `densevl teach` wrote")
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write the probabilities, as JSON")
    add_model_options(parser, "segmentor", out=None, early=False)


def _recognise(options: argparse.Namespace) -> int:
    from densevl.core.files import atomic_write
    from densevl.datasets.examples import frames_of

    # What cannot be used is said before a model is loaded.
    classes = read_taught(options.classes)
    classes.head("sequences")
    for path in options.sequences:
        frames_of(path)
    if options.out is not None and options.out.is_dir():
        raise UsageError(f"--out {options.out} is a folder; name a file, such as {options.out / 'found.json'}")

    found = load_model(options, lazy=True).recognise_sequences(options.sequences, classes)
    answers = [
        {
            "sequence": str(path),
            "name": name,
            "confidence": round(confidence, 6),
            "probabilities": {name: round(value, 6) for name, value in zip(classes.names, shares, strict=True)},
        }
        for path, name, confidence, shares in zip(
            options.sequences, found.names, found.confidences, found.probabilities.tolist(), strict=True
        )
    ]
    if options.out is not None:
        with atomic_write(options.out) as temporary:
            temporary.write_text(json.dumps(answers, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for answer in answers:
        print(f"{answer['confidence']:7.1%}  {answer['name']:20}  {answer['sequence']}")
    return 0
