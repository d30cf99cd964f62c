"""Segmenting into tars, where files for each image would be too many; see :mod:`densevl.api.jobs.packs`.

A pack is the item of work. Its images are segmented as in a folder of files, into a hidden folder beside the tars,
which is packed and removed. So a run that was stopped goes on with the packs that are missing.
"""

import copy
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from densevl.api.jobs.manifest import begin, check, read_manifest
from densevl.api.jobs.packs import Pack, join_packs, pack_paths, plan_packs, read_head, write_pack
from densevl.api.jobs.results import Results, is_there
from densevl.api.jobs.runs import Run, fingerprint
from densevl.api.jobs.segment import SegmentJob, SegmentRecipe
from densevl.api.jobs.segment_worker import SegmentWorker
from densevl.api.jobs.shards import Shard, ShardNote
from densevl.core.engine import Pipeline, Worker
from densevl.core.errors import OutputError, UsageError
from densevl.core.failures import Failure
from densevl.core.inputs import Input
from densevl.datasets.region_texts.shard import ShardHead

__all__ = ["PackRecipe", "PackWorker", "Packed", "PackedJob"]

SCRATCH = ".packing-"
UNPACKED = ("html",)
"""Formats that show the files of the images, and so need them."""


class Packed(NamedTuple):
    """What is said of a pack.

    Attributes:
        images: that were segmented.
        failures: inputs that gave no results.
        kinds: what is known of the kind of each image, by its name; nothing where nothing is known.
    """

    images: int
    failures: list[Failure]
    kinds: list[tuple[str, dict[str, Any] | None]]


class PackWorker(Worker[Pack, Pack, Packed, Packed]):
    """Segments the inputs of packs, and writes their tars.

    Args:
        worker: segments images; the folder of its results is that of the tars.
        pipeline: how its steps overlap.
    """

    batch = 1

    def __init__(self, worker: SegmentWorker, pipeline: Pipeline | None = None) -> None:
        self.worker, self.results, self.pipeline = worker, worker.results, pipeline or Pipeline()

    def read(self, item: Pack) -> Pack:
        """The pack; its images are read one by one."""
        return item

    def make(self, items: Sequence[Pack], read: Sequence[Pack]) -> list[Packed]:
        """Segment the images of packs, and write their tars.

        Raises:
            OutputError: where one cannot be written, or the folder was begun anew.
        """
        return [self._make(pack) for pack in read]

    def write(self, item: Pack, made: Packed) -> Packed:
        """Nothing: the tar is there."""
        return made

    def _make(self, pack: Pack) -> Packed:
        out = self.results.out
        with _scratch(out) as folder:
            results = _elsewhere(self.results, folder)
            begin(folder, read_manifest(out) or {})
            worker = copy.copy(self.worker)
            worker.results = results
            outcomes = list(self.pipeline.run(worker, pack.inputs))
            done = [(one.item, one.said) for one in outcomes if one.said is not None]
            failures = tuple(one.failure for one in outcomes if one.failure is not None)
            records = {item.relative: results.record(item.relative) or {} for item, _ in done}
            sources = {record["source"][0]: record["source"][1:] for record in records.values()}
            head = ShardHead(len(done), f"{pack.identity()} {made_by(self.results)} {pack.states(sources)}", failures)
            check(out, self.results.settings)
            write_pack(out / pack.place, folder, ((name, results.files(name)) for name in records), head)
            return Packed(len(done), list(failures), [(item.name, said.familiarity) for item, said in done])


@dataclass(frozen=True)
class PackRecipe:
    """How another process makes the worker of a job that has begun.

    Attributes:
        recipe: of the worker that segments images.
    """

    recipe: SegmentRecipe

    def __call__(self) -> PackWorker:
        """The worker."""
        return PackWorker(self.recipe())


class PackedJob:
    """Segments images into a folder of tars.

    Args:
        job: that has begun in the folder, with this ``pack``.
        pack: inputs of a tar.

    Raises:
        UsageError: where a format needs files.
    """

    def __init__(self, job: SegmentJob, pack: int) -> None:
        for name in UNPACKED:
            if name in job.results.formats:
                raise UsageError(
                    f"--save {name} shows files, which --pack does not leave; unpack them with densevl merge"
                )
        self.job, self.pack, self.results, self.out = job, pack, job.results, job.out

    def run(self, inputs: Sequence[Input], shard: Shard | None = None) -> Run[Pack, Packed]:
        """Segment what is not done yet; the failures are those of all tars.

        Args:
            inputs: all images.
            shard: the part of the packs that this process does; joining is then left to
                :func:`densevl.api.jobs.merge.merge`.

        Raises:
            OutputError: where a result cannot be written.
            UsageError: where the folder has the results of other inputs.
        """
        _sweep(self.out)
        packs = plan_packs(inputs, self.pack)
        self._check(packs)
        if shard is not None:
            shard.file(self.out).unlink(missing_ok=True)
        own = [pack for pack in packs if shard is None or pack.index % shard.count == shard.number - 1]
        mine = {item.place for pack in own for item in pack.inputs}
        run = Run[Pack, Packed](
            self.out, own, self._is_done, lambda name: name in mine or (shard is None and not is_there(name))
        )
        recipe = self.job.recipe and PackRecipe(self.job.recipe)
        with run.progress("segmenting", sum(len(pack.inputs) for pack in run.todo)) as progress:
            for outcome in run.outcomes(self.job.engine, recipe, PackWorker(self.job.worker)):
                if outcome.failure is not None:
                    run.fail(outcome.failure)
                elif outcome.said is not None:
                    run.done.append((outcome.item, outcome.said))
                    for name, kind in outcome.said.kinds:
                        self.job.unfamiliar.note(name, kind)
                progress.update(len(outcome.item.inputs))
        _sweep(self.out)
        heads = (read_head(self.out / pack.place) for pack in own)
        run.fail(*(failure for head in heads if head is not None for failure in head.failures))
        if shard is None:
            join_packs(self.results)
        else:
            ShardNote(shard, len(inputs), len(mine), len(run.failures)).write(self.out)
        return run

    def _is_done(self, pack: Pack) -> bool:
        head = None if self.job.overwrite else read_head(self.out / pack.place)
        return head is not None and head.identity == f"{pack.identity()} {made_by(self.results)} {pack.states()}"

    def _check(self, packs: Sequence[Pack]) -> None:
        """Make sure that the tars of the folder are of these inputs, or of the first of them.

        Raises:
            UsageError: where they are not.
        """
        planned = {pack.place: pack for pack in packs}
        for path in pack_paths(self.out):
            pack, head = planned.get(path.name), read_head(path)
            before = "0-" if head is None else head.identity.partition(" ")[0]
            if head is None or (pack is not None and pack.identity(int(before.partition("-")[0])) == before):
                continue
            if not self.job.overwrite:
                raise UsageError(
                    f"{path} has the results of other inputs, or of inputs in another order; name the same ones, with "
                    "new ones behind them, or another folder with --out, or do all again with --overwrite"
                )
            path.unlink()


def made_by(results: Results) -> str:
    """A text of what tars are made with; a tar of other settings, formats or instances is made again."""
    return fingerprint(results.settings, results.choices(), results.mask_maker)


def _elsewhere(results: Results, folder: Path) -> Results:
    """The results of the same job in another folder."""
    kept = (results.model, results.vocabulary, results.settings, list(results.formats), results.instances)
    return Results(folder, *kept, results.mask_maker)


@contextmanager
def _scratch(out: Path) -> Iterator[Path]:
    """A hidden folder beside the tars, which is removed at the end; that of a process that was killed, by the next run.

    Raises:
        OutputError: where it cannot be made.
    """
    folder = out / f"{SCRATCH}{token_hex(4)}"
    try:
        lock = FileLock(folder.with_suffix(".lock"))
        lock.acquire()
        folder.mkdir()
    except OSError as error:
        raise OutputError(f"cannot write to {out}: {error.strerror or error}; name another folder") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()
        folder.with_suffix(".lock").unlink(missing_ok=True)


def _sweep(out: Path) -> None:
    """Remove the hidden folders of processes that were killed."""
    for lock_file in out.glob(f"{SCRATCH}*.lock"):
        try:
            with FileLock(lock_file, timeout=0):
                shutil.rmtree(lock_file.with_suffix(""), ignore_errors=True)
        except (Timeout, OSError):
            continue
        lock_file.unlink(missing_ok=True)
