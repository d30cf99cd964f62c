"""Writing files whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from densevl.errors import OutputError

__all__ = ["atomic_write"]


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path that becomes ``path`` when the block ends, and vanishes when it fails.

        with atomic_write("out/a/labels.png") as temporary:
            image.save(temporary)

    Readers see the old file or the new one, never half of it, even where the process is killed. The temporary file
    lies in the folder of ``path`` (made where it is missing), is hidden and has the same suffix, so that writers which
    look at the suffix work. An existing file is replaced.

    Raises:
        OutputError: where the folder cannot be made or the file cannot be written, a full disk included. An
            ``OSError`` of the block that names another file is not touched.
    """
    path = Path(path)
    # Short on purpose: the longest name that a file may have leaves no room for a longer one.
    temporary = path.with_name(f".{token_hex(4)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        if error.filename is not None and not _is_about(error, path):
            raise
        reason = error.strerror or str(error)
        raise OutputError(f"cannot write {path}: {reason}; free space there or choose another place") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def _is_about(error: OSError, path: Path) -> bool:
    """Whether the error names a file of the folder of ``path``, or a folder above."""
    named = Path(os.fsdecode(error.filename))
    return named.parent == path.parent or named in path.parents
