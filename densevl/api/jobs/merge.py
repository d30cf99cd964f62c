"""Joining the results of processes that divided a job: of shards in one folder, or of folders of several machines."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from densevl.api.jobs.manifest import begin, compare, read_manifest
from densevl.api.jobs.packs import join_packs, unpack_all
from densevl.api.jobs.results import Results
from densevl.api.jobs.shards import missing_shards, read_notes
from densevl.api.jobs.videos import write_videos
from densevl.core.errors import UsageError
from densevl.core.failures import Failure, FailureList
from densevl.core.files import locked

__all__ = ["Merged", "finish", "merge"]


@dataclass(frozen=True)
class Merged:
    """What a folder holds after its results were joined.

    Attributes:
        out: the folder.
        images: that are done.
        failures: inputs that gave no results.
        missing: sentences on shards that have not finished.
    """

    out: Path
    images: int
    failures: list[Failure]
    missing: list[str]


def merge(
    folders: Sequence[Path],
    out: Path | None = None,
    save: Sequence[str] | None = None,
    instances: str | None = None,
    min_area: int | None = None,
) -> Merged:
    """Join what the shards of a job wrote.

    An input that failed in one folder and is done in another counts as done.

    Args:
        folders: of the same job.
        out: where the results of all go, as copies; may be one of the folders. None joins in place, which one folder
            alone can be.
        save: names of further formats; None for those of the job alone.
        instances: one of :data:`densevl.api.jobs.formats.record.INSTANCES`; None for the choice of the job.
        min_area: least pixels of an instance; None for the choice of the job.

    Raises:
        OutputError: where the folder cannot be written.
        UsageError: where a folder has no job of segmenting, the folders have different jobs, or different images under
            one name.
    """
    if out is None and len(folders) > 1:
        raise UsageError(f"{len(folders)} folders are merged into another one, or one of them; name it with --out")
    target = folders[0] if out is None else out
    manifests = [_manifest(folder) for folder in folders]
    for folder, manifest in zip(folders[1:], manifests[1:], strict=True):
        if manifest["fingerprint"] != manifests[0]["fingerprint"]:
            said = (
                compare(manifests[0], manifest).replace(" there", f" in {folders[0]}").replace(" here", f" in {folder}")
            )
            raise UsageError(f"the folders hold different jobs: {said}; merge folders of one job")
    packed = [folder for folder, manifest in zip(folders, manifests, strict=True) if "pack" in manifest]
    if any(os.path.realpath(folder) == os.path.realpath(target) for folder in packed):
        return _join(target, Results.of(target, manifests[0]), len(folders) > 1 or bool(save or instances or min_area))
    results = Results.of(target, manifests[0], save, instances, min_area)
    begin(target, {**{name: one for name, one in manifests[0].items() if name != "pack"}, **results.choices()})
    for folder in packed:
        unpack_all(folder, results)
    others = [
        Results.of(folder, manifest)
        for folder, manifest in zip(folders, manifests, strict=True)
        if os.path.realpath(folder) != os.path.realpath(target)
    ]
    failures = [failure for part in [*others, results] for failure in FailureList(part.out).read()]
    failed = {failure.name for failure in failures}
    done = {one.place for part in [results, *others] for one in part.done() if one.place in failed}
    for part in others:
        _check_names(part, results)
        for one in part.done():
            results.copy(one, part)
    notes = {note.shard: note for part in [results, *others] for note in read_notes(part.out)}
    for note in notes.values():
        note.write(target)
    with locked(target):
        FailureList(target).replace(failure for failure in failures if failure.name not in done)
    finish(results)
    unfinished = missing_shards(sorted(notes.values(), key=lambda note: (note.shard.count, note.shard.number)))
    return Merged(target, sum(1 for _ in results.done()), FailureList(target).read(), unfinished)


def _join(target: Path, results: Results, changes: bool) -> Merged:
    """Join the tars of results of a folder."""
    if changes:
        raise UsageError(f"the results in {target} are packed; unpack them into another folder, which --out names")
    images, notes = join_packs(results), read_notes(target)
    return Merged(target, images, FailureList(target).read(), missing_shards(notes))


def finish(results: Results, changed: Iterable[str] | None = None) -> list[Failure]:
    """Write what belongs to all images of a folder; gives what could not be written of formats and videos.

    Args:
        results: the folder.
        changed: places of the images that are new; None for all.

    Raises:
        OutputError: where something cannot be written.
    """
    failures = results.complete()
    with locked(results.out):  # so that what is written last is what was read last
        listed = FailureList(results.out)
        listed.replace(listed.read())
        results.join()
    return failures + write_videos(results, changed)


def _manifest(folder: Path) -> dict[str, Any]:
    manifest = read_manifest(folder)
    if manifest is None:
        raise UsageError(f"{folder} holds no job of `densevl segment`; name the folders that it wrote")
    if manifest["command"] != "segment":
        raise UsageError(
            f"{folder} holds the results of `densevl {manifest['command']}`; only those of segment are merged"
        )
    return manifest


def _check_names(part: Results, results: Results) -> None:
    for one in part.done():
        there = results.known(one.name)
        if there is not None and there.source != one.source:
            raise UsageError(
                f"{one.name!r} is {there.place} in {results.out} and {one.place} in {part.out}; "
                "merge folders of shards of the same inputs"
            )
