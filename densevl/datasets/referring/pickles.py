"""Reading pickles of plain values, and nothing else.

A pickle is a program: it may name any function and call it while it is read. The refs of RefCOCO are lists,
dictionaries, numbers and texts, for which no name is needed, so every name is refused. Python 2 wrote them: its byte
strings are read as Latin-1 and, where they are UTF-8, as that.
"""

import pickle
from pathlib import Path
from typing import Any

from densevl.core.errors import UsageError

__all__ = ["read_plain_pickle"]


class _PlainUnpickler(pickle.Unpickler):
    """Refuses every class, function and persistent object."""

    def find_class(self, module: str, name: str) -> Any:
        raise _Refused(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        raise _Refused("an object kept elsewhere")


class _Refused(pickle.UnpicklingError):
    """The pickle names something that could run code."""


def read_plain_pickle(path: str | Path) -> Any:
    """The value of a pickle that holds plain values alone; nothing in it is run.

    Raises:
        UsageError: where the file is missing, damaged, or asks for a class or a function.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            return _as_text(_PlainUnpickler(file, encoding="latin1").load())
    except _Refused as error:
        raise UsageError(
            f"{path} asks for {error}, which might run code, so it was not read; refs of RefCOCO hold lists, "
            "dictionaries, numbers and texts alone: fetch them again from a source that you trust"
        ) from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None
    except Exception as error:  # a damaged pickle makes the reader raise whatever it stumbles over
        raise UsageError(f"{path} is no pickle, or a damaged one ({type(error).__name__}: {error})") from None


def _as_text(value: Any) -> Any:
    """The value with texts in the place of byte strings."""
    if isinstance(value, dict):
        return {_as_text(key): _as_text(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_text(item) for item in value]
    if isinstance(value, bytes | bytearray):
        value = value.decode("latin1")
    if isinstance(value, str) and not value.isascii():
        try:
            return value.encode("latin1").decode("utf-8")
        except UnicodeError:
            return value
    return value
