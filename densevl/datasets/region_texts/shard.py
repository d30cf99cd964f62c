"""The head of a file of records, and the error for readers where the file is damaged."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from densevl.core.errors import ShardError
from densevl.core.failures import Failure
from densevl.core.files import parse_json

__all__ = ["ShardHead", "cut_off"]

PREFIX = "densevl."


@dataclass(frozen=True)
class ShardHead:
    """The head of a shard of ours, beside its records.

    Attributes:
        records: how many it has.
        identity: of the inputs and settings that it was made from; whatever its maker likes.
        failures: the inputs that gave no record.
    """

    records: int
    identity: str = ""
    failures: tuple[Failure, ...] = ()

    def as_texts(self) -> dict[str, str]:
        """The head as texts by name, which both formats keep."""
        failures = json.dumps([[one.name, one.reason] for one in self.failures], ensure_ascii=False)
        named = {"records": str(self.records), "identity": self.identity, "failures": failures}
        return {f"{PREFIX}{name}": value for name, value in named.items()}

    @classmethod
    def from_texts(cls, texts: Mapping[str, str]) -> "ShardHead | None":
        """The head in the texts of a file; None where the file is not ours.

        Raises:
            ValueError: where it is damaged.
        """
        if f"{PREFIX}records" not in texts:
            return None
        failures = [Failure(*map(str, one)) for one in parse_json(texts.get(f"{PREFIX}failures", "[]"))]
        return cls(int(texts[f"{PREFIX}records"]), texts.get(f"{PREFIX}identity", ""), tuple(failures))


def cut_off(path: Path | str, whole: int, last: str | None, expected: int | None, reason: str) -> ShardError:
    """The error for a shard that ends too early.

    Args:
        path: the shard, or the URL of one.
        whole: records that could be read.
        last: key of the last one; None where there is none.
        expected: records that it says it has; None where it does not say.
        reason: what was found.
    """
    promised = "" if expected is None else f" of {expected}"
    end = "no record is whole" if last is None else f"the last whole record is {last!r}, number {whole}{promised}"
    return ShardError(f"{path} is cut off or damaged ({reason}); {end}; copy or make it again")
