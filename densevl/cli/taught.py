"""The option of taught classes: which files hold some, and the model that they belong to."""

import argparse
from pathlib import Path
from typing import Any

from densevl.core.errors import UsageError, WeightsError

__all__ = ["add_classes_option", "read_taught", "take_model_of"]


def add_classes_option(parser: argparse.ArgumentParser, use: str) -> None:
    """Add the option.

    Args:
        parser: of the command.
        use: what the command does with the classes.
    """
    parser.add_argument("--classes", type=Path, metavar="FILE", help=f"classes that `densevl teach` wrote: {use}")


def take_model_of(options: argparse.Namespace) -> None:
    """Choose the model that classes were taught with, and how it was loaded, where the options name no model.

    They are those of ``--classes``, or those that ``--add-to`` adds to.

    Raises:
        WeightsError: where the file of the classes is damaged.
    """
    from densevl.core.files import parse_json
    from densevl.core.tensor_header import header_texts, is_tensor_file

    path = getattr(options, "classes", None) or getattr(options, "add_to", None)
    if options.model is not None or path is None or not is_tensor_file(path):
        return
    try:
        texts = header_texts(path)
        model, delta = parse_json(texts.get("model", "{}")), parse_json(texts.get("delta", "{}"))
        options.model, options.weights = model.get("name"), options.weights or model.get("weights")
        tuned = {"encoder.delta": str(path)} if delta.get("images") else {}
        options.changes = {**model.get("changes", {}), **tuned, **options.changes}
    except (ValueError, AttributeError, TypeError):
        raise WeightsError(f"{path} is damaged: no model is named in it; teach the classes anew") from None


def read_taught(path: Path | None, share: float | None = None) -> Any:
    """The classes of a file; None where none is named.

    Args:
        path: of the file.
        share: of known things that may be called unknown; None for classes that know no unknown.

    Raises:
        UsageError: where there is no such file, or it is none of taught classes.
        WeightsError: where it is damaged, or of a later densevl.
    """
    from densevl.classifiers.classes import Classes
    from densevl.core.tensor_header import is_tensor_file

    if path is None:
        return None
    if path.is_file() and not is_tensor_file(path):
        raise UsageError(f"{path} holds no taught classes; make them with `densevl teach EXAMPLES --out {path}`")
    classes = Classes.load(path)
    return classes if share is None else classes.with_unknown(share)
