"""Training regions as an endless stream of shards: WebDataset tars or Parquet files, densevl's records or GRIT's.

Nothing but a shuffle buffer of encoded images is held in memory. The worker processes of all training processes
divide the shards among them; where there are fewer shards than workers, several read the same shard and take its
records in turn. In each pass a worker sees each of its records once, the shards in an order drawn anew and the records
shuffled in the buffer. Workers do not wait for each other: with a number of shards that is a multiple of theirs, they
stay in the same pass.

What a worker sees depends on the seed, the shards and the number of workers alone, so that a training is resumed by
reading, not decoding, what was read before. Where records could not be used until then, as many are seen again.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count, islice
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
import torch
from mmengine.dist import get_dist_info
from mmengine.registry import DATASETS
from torch.utils.data import IterableDataset, get_worker_info

from densevl.core.errors import ImageError, ShardError, UsageError
from densevl.datasets.region_sample import region_sample
from densevl.datasets.region_texts.record import RegionTextRecord
from densevl.datasets.region_texts.shards import read_records, shard_paths
from densevl.datasets.training.left_out import LeftOut
from densevl.datasets.training.visits import IN_A_ROW, check_side, in_template

__all__ = ["RegionTextShards", "divided", "shuffled"]

Item = TypeVar("Item")

DAMAGED = ("stop", "skip")
"""Actions at a shard that is cut off: stop the training with the error, or go on with the next shard."""


@DATASETS.register_module()
class RegionTextShards(IterableDataset):
    """Records of shards, without end; ``train_dataloader.sampler`` is None.

    Args:
        shards: a folder, a file, a glob such as ``data/grit/*.tar``, or several of them.
        side: of the padded images in pixels; that of the encoder.
        buffer: records among which the next is drawn; 0 keeps the order of the files.
        least: regions of lower scores are left out.
        templates: name of the templates of which one is drawn for each text; ``"none"`` leaves the texts as they are.
        damaged: ``"stop"`` where a shard is cut off or damaged, with an error that names it and its last whole record;
            ``"skip"`` logs it and goes on with the next. The whole records before the damage are used either way.
        seed: of all orders and draws.
        failures: JSON lines of the records and shards that could not be used; None for the log alone.

    Attributes:
        files: the shards.
        left_out: what this process could not use.

    Raises:
        UsageError: where there is no shard, or an argument has no meaning.
    """

    metainfo: Mapping[str, Any] = MappingProxyType({})  # MMEngine asks for it

    def __init__(
        self,
        shards: str | Sequence[str],
        side: int = 224,
        buffer: int = 1000,
        least: int | float = 0.0,
        templates: str = "none",
        damaged: str = "stop",
        seed: int = 0,
        failures: str | None = None,
    ) -> None:
        check_side(side)
        in_template((), templates, np.random.default_rng())
        if damaged not in DAMAGED:
            raise UsageError(f"damaged must be one of {', '.join(DAMAGED)}; got {damaged!r}")
        if buffer < 0:
            raise UsageError(f"buffer must be a number of records, or 0 for the order of the files; got {buffer}")
        self.files = tuple(dict.fromkeys(shard_paths(shards)))
        self.side, self.buffer, self.least, self.templates = side, buffer, least, templates
        self.damaged, self.seed = damaged, seed
        self.left_out = LeftOut(shards if isinstance(shards, str) else ", ".join(shards), failures)
        self._rank, self._world = get_dist_info()
        self._seen = (0, 0)

    def skip(self, iterations: int, batch_size: int) -> None:
        """Let the next iteration over the data begin behind what so many batches of this process held."""
        self._seen = (iterations, batch_size)

    def __len__(self) -> int:
        """A number that is never reached, which MMEngine's schedulers want."""
        return sys.maxsize

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Samples as :func:`densevl.datasets.region_sample.region_sample` makes them.

        Raises:
            ShardError: where a shard is damaged, unless these are skipped.
            UsageError: where the shards hold no record of use.
        """
        worker = get_worker_info()
        number, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        iterations, batch_size = self._seen
        # The batches come from the workers in turn, and the first worker has to make the next one.
        number = (number + iterations) % workers
        behind = batch_size * len(range(number, iterations, workers))
        slot, slots = self._rank * workers + number, self._world * workers
        unused = 0
        for place, record in islice(enumerate(self.records(slot, slots)), behind, None):
            try:
                yield self._sample(record, np.random.default_rng([self.seed, slot, place]))
                unused = 0
            except ImageError as error:
                self.left_out.add(f"record {record.key}", error)
                unused += 1
            if unused == IN_A_ROW:
                raise UsageError(
                    f"{self.left_out.source}: {unused} records in a row could not be used, the last one {record.key}; "
                    "see the messages above"
                )

    def records(self, slot: int, slots: int) -> Iterator[RegionTextRecord]:
        """The records of one of several workers, pass after pass, without end.

        Raises:
            ShardError: where a shard is damaged, unless these are skipped.
            UsageError: where a pass has no record.
        """
        for number in count():
            record = None
            rng = np.random.default_rng([self.seed, number, slot])
            for record in shuffled(self._pass(number, slot, slots), self.buffer, rng):
                yield record
            if record is None:
                raise UsageError(f"{self.left_out.source}: worker {slot} of {slots} finds no record in its shards")

    def _pass(self, number: int, slot: int, slots: int) -> Iterator[RegionTextRecord]:
        order = np.random.default_rng([self.seed, number]).permutation(len(self.files))
        for place, first, step in divided(len(self.files), slot, slots):
            file = self.files[order[place]]
            try:
                yield from islice(read_records(file, self._bad_record), first, None, step)
            except ShardError as error:
                if self.damaged == "stop":
                    raise
                self.left_out.add(str(file), error)

    def _bad_record(self, error: ShardError) -> None:
        self.left_out.add(str(error), error)

    def _sample(self, record: RegionTextRecord, rng: np.random.Generator) -> dict[str, Any]:
        image = record.read_image()
        if image.shape[:2] != tuple(record.size):
            raise ImageError(f"the image has {image.shape[:2]} pixels, its boxes were drawn on {record.size}")
        kept = [region for region in record.regions if region.score >= self.least]
        boxes = torch.tensor([region.box for region in kept], dtype=torch.float32).reshape(-1, 4)
        texts = in_template([region.text for region in kept], self.templates, rng)
        return region_sample(image, boxes, texts, record.caption or None, self.side)


def divided(shards: int, slot: int, slots: int) -> list[tuple[int, int, int]]:
    """The records that one of several workers reads in each pass.

    Args:
        shards: how many there are.
        slot: number of the worker.
        slots: number of all workers of all processes.

    Returns:
        (place of the shard in the order of the pass, first record, step from record to record) of each shard.
    """
    if shards >= slots:
        return [(place, 0, 1) for place in range(slot, shards, slots)]
    sharing = len(range(slot % shards, slots, shards))
    return [(slot % shards, slot // shards, sharing)]


def shuffled(items: Iterable[Item], size: int, rng: np.random.Generator) -> Iterator[Item]:
    """The same items, each drawn at random among ``size`` that are held."""
    held: list[Item] = []
    for item in items:
        if len(held) < size:
            held.append(item)
        elif size == 0:
            yield item
        else:
            place = rng.integers(size)
            yield held[place]
            held[place] = item
    yield from (held[place] for place in rng.permutation(len(held)))
