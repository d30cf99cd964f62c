"""What is joined of all images: files that grow by one entry at a time, and of which no more than an entry is held."""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from densevl.api.jobs.formats.contracts import Format
from densevl.api.jobs.formats.record import ImageRecord
from densevl.core.files import atomic_write
from densevl.core.vocabulary import Vocabulary

__all__ = ["JoinedJson", "as_text", "join", "joined_json", "write_text"]


def as_text(value: Any) -> str:
    """JSON on one line, in ASCII: it is read right whatever encoding the reader takes for granted."""
    return json.dumps(value, separators=(", ", ": "))


def write_text(path: Path, text: str) -> None:
    """Write a text file as UTF-8, with the line ends as they stand.

    Raises:
        OutputError: where it cannot be written.
    """
    with atomic_write(path) as temporary:
        temporary.write_bytes(text.encode("utf-8"))


class JoinedJson:
    """Lists of a JSON file that is being written.

    Args:
        spools: the entries of each list so far, one a line.
    """

    def __init__(self, spools: Mapping[str, IO[bytes]]) -> None:
        self.spools = spools
        self.counts = dict.fromkeys(spools, 0)

    def add(self, name: str, entry: Any) -> None:
        """Add an entry to a list."""
        self.spools[name].write((",\n" if self.counts[name] else "\n").encode() + as_text(entry).encode())
        self.counts[name] += 1


@contextmanager
def joined_json(path: Path, lists: Sequence[str], **others: Any) -> Iterator[JoinedJson]:
    """A JSON object with lists that are filled within the block, an entry a line.

    Args:
        path: of the file.
        lists: their names.
        others: what the object has beside them; it comes first.

    Raises:
        OutputError: where the file cannot be written.
    """
    with atomic_write(path) as temporary, ExitStack() as stack:
        joined = JoinedJson({name: stack.enter_context(TemporaryFile(dir=temporary.parent)) for name in lists})
        yield joined
        with temporary.open("wb") as file:
            heads = [f"{as_text(name)}: {as_text(value)}".encode() for name, value in others.items()]
            file.write(b"{" + b",\n".join(heads))
            for name, spool in joined.spools.items():
                file.write((",\n" if others or name != lists[0] else "").encode() + as_text(name).encode() + b": [")
                spool.seek(0)
                shutil.copyfileobj(spool, file)
                file.write(b"]")
            file.write(b"}\n")


def join(
    formats: Sequence[Format], out: Path, records: Callable[[], Iterable[ImageRecord]], vocabulary: Vocabulary
) -> None:
    """Write what formats have once for all images, in one pass over the records.

    Args:
        formats: any; one that goes through the records by itself gets a pass of its own.
        out: the folder of results.
        records: gives all of them, each time that it is called.
        vocabulary: of the records.

    Raises:
        OutputError: where a file cannot be written.
    """
    together = [made for made in formats if made.is_joined and not made.has_own_join]
    with ExitStack() as stack:
        adds = [stack.enter_context(made.joining(out, vocabulary)) for made in together]
        for record in records() if adds else ():
            for add in adds:
                add(record)
    for made in formats:
        if made.has_own_join:
            made.join(out, records(), vocabulary)
