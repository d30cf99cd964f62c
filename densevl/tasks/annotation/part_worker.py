"""The work of a labelling job on one part after the other, in whatever process: each becomes a shard."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from densevl.core.engine import Worker
from densevl.core.failures import Failure
from densevl.core.files import atomic_write
from densevl.datasets.region_texts.shards import FORMATS
from densevl.tasks.annotation.labeller import Labeller, label_part
from densevl.tasks.annotation.parts import CaptionedImage, Part, read_part
from densevl.tasks.annotation.settings import LabelSettings, build_labeller

__all__ = ["LabelledPart", "PartCounts", "PartRecipe", "PartWorker", "shard_path"]


class PartCounts(NamedTuple):
    """The counts of a part that was labelled.

    Attributes:
        records: in its shard.
        regions: in its records.
        failed: inputs that gave no record.
    """

    records: int
    regions: int
    failed: int


class LabelledPart(NamedTuple):
    """A part that was labelled, before it is written.

    Attributes:
        shard: the bytes of its file.
        counts: of it.
    """

    shard: bytes
    counts: PartCounts


def shard_path(out: Path, index: int, kind: str) -> Path:
    """The shard of a part."""
    return out / f"shard-{index:06}{FORMATS[kind]}"


class PartWorker(Worker[Part, Iterable[CaptionedImage | Failure], LabelledPart, PartCounts]):
    """Labels parts into shards of a folder.

    Args:
        labeller: with its models in memory.
        out: the folder.
        kind: format of the shards.
    """

    batch = 1

    def __init__(self, labeller: Labeller, out: Path, kind: str) -> None:
        self.labeller, self.out, self.kind = labeller, out, kind

    def read(self, item: Part) -> Iterable[CaptionedImage | Failure]:
        """The paths and captions of the images; those of a shard are read as they are labelled, for want of room."""
        images = read_part(item)
        return list(images) if item.shard is None else images

    def make(self, items: Sequence[Part], read: Sequence[Iterable[CaptionedImage | Failure]]) -> list[LabelledPart]:
        """Label parts."""
        return [self._label(part, images) for part, images in zip(items, read, strict=True)]

    def write(self, item: Part, made: LabelledPart) -> PartCounts:
        """Write the shard of a part, whole or not at all.

        Raises:
            OutputError: where it cannot be written.
        """
        with atomic_write(shard_path(self.out, item.index, self.kind)) as temporary:
            temporary.write_bytes(made.shard)
        return made.counts

    def _label(self, part: Part, images: Iterable[CaptionedImage | Failure]) -> LabelledPart:
        shard, records, failures = label_part(part, images, self.labeller, self.kind)
        regions = sum(len(record.regions) for record in records)
        return LabelledPart(shard, PartCounts(len(records), regions, len(failures)))


@dataclass(frozen=True)
class PartRecipe:
    """How a process makes its worker.

    Attributes:
        settings: what labels the parts.
        out: folder of the shards.
        kind: format of the shards.
    """

    settings: LabelSettings
    out: Path
    kind: str

    def __call__(self) -> PartWorker:
        """The worker.

        Raises:
            DensevlError: where nothing can be labelled, such as without weights.
        """
        return PartWorker(build_labeller(self.settings), self.out, self.kind)
