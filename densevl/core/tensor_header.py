"""The header of a safetensors file, read without the libraries that read its tensors."""

from pathlib import Path

from densevl.core.errors import WeightsError
from densevl.core.files import parse_json

__all__ = ["header_texts", "is_tensor_file"]

LONGEST = 100_000_000
"""Bytes of a header, which safetensors allows no more of."""


def is_tensor_file(path: str | Path) -> bool:
    """True for a file that begins as files of tensors do, whatever its name; False for any other and for none."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(9)
        size = Path(path).stat().st_size
    except OSError:
        return False
    return head[8:] == b"{" and int.from_bytes(head[:8], "little") <= min(size - 8, LONGEST)


def header_texts(path: str | Path) -> dict[str, str]:
    """The texts in the header of a file of tensors, by name.

    Raises:
        WeightsError: where the header is damaged.
    """
    try:
        with Path(path).open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            found = parse_json(file.read(length)).get("__metadata__", {})
    except (OSError, ValueError, AttributeError) as error:
        raise WeightsError(f"{path} is damaged ({type(error).__name__}): its header cannot be read") from None
    return {str(name): str(text) for name, text in found.items()} if isinstance(found, dict) else {}
