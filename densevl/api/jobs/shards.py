"""Shards: the inputs of one job divided among processes, on one machine or on many.

The name of an input decides its shard, so that every process agrees without asking another, and an input that is added
moves no other. A process that has finished leaves a note, ``shard-2-of-8.json``, with the counts of its run.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from densevl.core.errors import UsageError
from densevl.core.files import atomic_write, parse_json
from densevl.core.inputs import Input

__all__ = ["Shard", "ShardNote", "missing_shards", "read_notes"]

Of = TypeVar("Of", bound=Input)

CLUSTERS = (
    ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_MIN"),
    ("RANK", "WORLD_SIZE", None),
    ("SLURM_PROCID", "SLURM_NTASKS", None),
)
"""Variables of the number of a process, of how many there are, and of the first number where it is not 0."""


@dataclass(frozen=True)
class Shard:
    """One part of several.

    Attributes:
        number: from 1.
        count: of all parts.

    Raises:
        UsageError: where there is no such part.
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise UsageError(
                f"shard {self} does not exist; the first of {max(self.count, 1)} is 1/{max(self.count, 1)}"
            )

    def __str__(self) -> str:
        """As users write it."""
        return f"{self.number}/{self.count}"

    @classmethod
    def parse(cls, text: str, environment: Mapping[str, str] | None = None) -> "Shard":
        """From ``2/8``, or from ``auto``: what a cluster tells its processes.

        Args:
            text: as users write it.
            environment: variables; None takes those of this process.

        Raises:
            UsageError: where the text is another, the part does not exist, or no cluster says a number.
        """
        if text == "auto":
            return cls._of_cluster(os.environ if environment is None else environment)
        match = re.fullmatch(r"(\d+)/(\d+)", text.strip())
        if match is None:
            raise UsageError(f"write a shard as NUMBER/COUNT, such as 2/8, or auto; got {text!r}")
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def _of_cluster(cls, environment: Mapping[str, str]) -> "Shard":
        for number, count, first in CLUSTERS:
            if number in environment and count in environment:
                try:
                    values = [int(environment[name]) for name in (number, count)]
                    start = int(environment[first]) if first else 0
                except (KeyError, ValueError):
                    raise UsageError(f"{number}, {count} and {first} are no numbers; write --shard 2/8") from None
                return cls(values[0] - start + 1, values[1])
        names = " nor ".join(number for number, _, _ in CLUSTERS)
        raise UsageError(f"--shard auto asks the cluster, and it sets neither {names}; write --shard 2/8")

    def of(self, inputs: Sequence[Of]) -> list[Of]:
        """The inputs of this part, in their order."""
        return list(filter(self.has, inputs))

    def has(self, item: Input) -> bool:
        """True for an input of this part."""
        digest = hashlib.sha256(item.relative.encode()).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.number - 1

    def file(self, folder: Path) -> Path:
        """The note of this part in a folder."""
        return folder / f"shard-{self.number}-of-{self.count}.json"


@dataclass(frozen=True)
class ShardNote:
    """What a part that has finished tells.

    Attributes:
        shard: the part.
        inputs: of all parts together.
        own: of this part.
        failed: of these.
    """

    shard: Shard
    inputs: int
    own: int
    failed: int

    def write(self, folder: Path) -> None:
        """Write it into the folder of the results.

        Raises:
            OutputError: where it cannot be written.
        """
        with atomic_write(self.shard.file(folder)) as temporary:
            temporary.write_text(json.dumps({"inputs": self.inputs, "own": self.own, "failed": self.failed}))


def read_notes(folder: Path) -> list[ShardNote]:
    """The notes in a folder, by their number."""
    notes = []
    for path in folder.glob("shard-*-of-*.json"):
        match = re.fullmatch(r"shard-(\d+)-of-(\d+)\.json", path.name)
        try:
            told: dict[str, Any] = parse_json(path.read_text(encoding="utf-8"))
            if match is not None:
                shard = Shard(int(match[1]), int(match[2]))
                notes.append(ShardNote(shard, told["inputs"], told["own"], told["failed"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return sorted(notes, key=lambda note: (note.shard.count, note.shard.number))


def missing_shards(notes: Sequence[ShardNote]) -> list[str]:
    """What is missing or does not fit among the parts that have finished, a sentence each."""
    said = []
    for count in sorted({note.shard.count for note in notes}):
        there = {note.shard.number: note for note in notes if note.shard.count == count}
        missing = [str(number) for number in range(1, count + 1) if number not in there]
        if missing:
            said.append(
                f"of {count} shards, {', '.join(missing)} {'has' if len(missing) == 1 else 'have'} not finished"
            )
        sizes = {note.inputs for note in there.values()}
        if len(sizes) > 1:
            told = ", ".join(f"{note.shard} {note.inputs}" for note in there.values())
            said.append(f"the shards did not divide the same inputs: {told}; run each of them again with all inputs")
    return said
