"""Labelling images with region texts into shards: resumed where a run stopped, never stopped by a bad file.

The folder of the results has

* ``shard-000000.tar`` (or ``.parquet``) and so on, each written whole or not at all, each with the count of its
  records, the identity of its inputs and the inputs that failed;
* ``labelling.json``: the settings, with which a later run is compared;
* ``failures.jsonl``: one line for each input that gave no record, of all shards.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from densevl.api.jobs.manifest import refuse_other
from densevl.api.jobs.runs import Run
from densevl.core.engine import HERE, Engine
from densevl.core.errors import ShardError, UsageError, suggestion
from densevl.core.files import atomic_write, parse_json
from densevl.datasets.region_texts.shards import FORMATS, shard_head
from densevl.tasks.annotation.captions import Captions
from densevl.tasks.annotation.part_worker import PartCounts, PartRecipe, shard_path
from densevl.tasks.annotation.parts import Part, plan_parts
from densevl.tasks.annotation.settings import LabelSettings, check_settings
from densevl.weights import is_offline

__all__ = ["LabelRegionsJob"]

HEAD = "labelling.json"


class LabelRegionsJob:
    """Labels images into a folder of shards.

    Args:
        sources: images, or shards of images and captions: files, folders, globs, in buckets too.
        out: folder of the results; made where it is missing.
        settings: what labels them.
        captions: of the images; None for text files beside them.
        kind: a name of :data:`densevl.datasets.region_texts.shards.FORMATS`.
        shard_size: images of a shard.
        engine: where the work is done.
        overwrite: label again what is done, also with other settings.

    Attributes:
        unused: images of the captions that are not among the inputs.

    Raises:
        UsageError: where there is no input or no caption, the format is unknown, or the folder has the shards of a run
            with other settings, or the results of another command.
        OutputError: where the folder cannot be written.
    """

    def __init__(
        self,
        sources: Sequence[str | os.PathLike[str]],
        out: Path,
        settings: LabelSettings,
        captions: Captions | None = None,
        kind: str = "webdataset",
        shard_size: int = 1000,
        engine: Engine = HERE,
        overwrite: bool = False,
    ) -> None:
        if kind not in FORMATS:
            raise UsageError(f"unknown format {kind!r}; {suggestion(kind, FORMATS)}")
        if shard_size < 1:
            raise UsageError(f"a shard has at least 1 image; got {shard_size}")
        check_settings(settings)
        offline = is_offline(settings.offline)
        self.parts = plan_parts(sources, shard_size, captions, settings.captioner is not None, out, offline)
        images = ((item.name, item.relative) for part in self.parts for item, _ in part.images)
        self.unused = [] if captions is None else captions.unused(images)
        self.out, self.kind, self.engine = out, kind, engine
        self.recipe = PartRecipe(settings, out.absolute(), kind)
        described = {"format": kind, "shards": len(self.parts), "shard_size": shard_size, **settings.protocol}
        self._begin(json.loads(json.dumps(described)), overwrite)

    def run(self) -> Run[Part, PartCounts]:
        """Label what is not done yet; its failures are those of all shards, and parts that gave none.

        Raises:
            DensevlError: where nothing can be labelled, such as without weights or on a full disk.
        """
        run = Run[Part, PartCounts](self.out, self.parts, self._done)
        with run.progress("labelling", sum(map(_images, run.todo))) as progress:
            for outcome in self.engine.run(self.recipe, run.todo, batch=1, most=1):
                if outcome.failure is not None:
                    run.fail(outcome.failure)
                elif outcome.said is not None:
                    run.done.append((outcome.item, outcome.said))
                progress.update(_images(outcome.item))
        heads = (shard_head(shard_path(self.out, part.index, self.kind)) for part in self.parts)
        run.fail(*(failure for head in heads if head is not None for failure in head.failures))
        return run

    def _done(self, part: Part) -> bool:
        """True where the shard is there, whole and of the same inputs."""
        try:
            head = shard_head(shard_path(self.out, part.index, self.kind))
        except ShardError:
            return False
        return head is not None and head.identity == part.identity

    def _begin(self, described: dict[str, Any], overwrite: bool) -> None:
        """Note the settings, or compare them with those of the run that is to go on."""
        refuse_other(self.out, "label-regions")
        path = self.out / HEAD
        try:
            before = parse_json(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            before = None
        if before == described:
            if not overwrite:
                return
        elif before is not None and not overwrite:
            raise UsageError(f"{self.out} has shards of another run: {_differences(before, described)}; {CURE}")
        shards = [file for suffix in FORMATS.values() for file in self.out.glob(f"shard-*{suffix}")]
        if shards and before is None and not overwrite:
            raise UsageError(f"{self.out} has shards, and no {HEAD} that tells how they were made; {CURE}")
        for shard in shards:
            shard.unlink()
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(described, ensure_ascii=False, indent=1), encoding="utf-8")


CURE = "give the settings of that run to go on with it, name another folder, or label all again with --overwrite"


def _differences(before: Any, now: dict[str, Any]) -> str:
    """The settings that changed, in words."""
    old = before if isinstance(before, dict) else {}
    changed = [name for name in {**old, **now} if old.get(name) != now.get(name)]
    return ", ".join(f"{name} {json.dumps(old.get(name))} there, {json.dumps(now.get(name))} here" for name in changed)


def _images(part: Part) -> int:
    """Images that a shard counts as; it says how many it has when it is read."""
    return max(1, len(part.images))
