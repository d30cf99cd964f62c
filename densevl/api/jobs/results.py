"""The results of a segmenting job: the files of each input, and what is joined of all of them.

For an input ``day1/cat.jpg`` there are the files of every format that was chosen, each written whole or not at all, and
``day1/cat.record.json``, written last: it marks the input as done, and keeps everything that formats are made of. So
another format can be added, and what is joined be joined again, without the model.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from jaxtyping import Bool, Int32

from densevl.api.jobs.formats import DEFAULT, FORMATS
from densevl.api.jobs.formats.contracts import Format
from densevl.api.jobs.formats.record import ImageRecord, Instances
from densevl.api.jobs.manifest import MANIFEST, described
from densevl.core.errors import ImageError, OutputError, UsageError
from densevl.core.failures import Failure, FailureList
from densevl.core.files import atomic_write, below, natural_order, parse_json
from densevl.core.inputs import Input
from densevl.core.inputs.urls import is_url
from densevl.core.labelmap import LabelMap
from densevl.core.registry import build
from densevl.core.vocabulary import Vocabulary

__all__ = ["VIDEO", "Results", "chosen", "is_there"]

RECORD, VIDEO = ".record.json", ".overlay.mp4"


class Results:
    """The results in a folder that were made with the same settings.

    Args:
        out: the folder; made where it is missing.
        model: its name.
        vocabulary: the classes.
        settings: fingerprint of everything that decides a result; records of other settings do not count.
        save: names of the formats that are written, see :data:`densevl.api.jobs.formats.FORMATS`.
        instances: what counts as one thing; None for a mask a class.
        mask_maker: identity of what sees things, where ``instances`` wants it.

    Raises:
        UsageError: where a format is unknown, or what it needs is not installed.
    """

    def __init__(
        self,
        out: Path,
        model: str,
        vocabulary: Vocabulary,
        settings: str,
        save: Sequence[str] = DEFAULT,
        instances: Instances | None = None,
        mask_maker: str | None = None,
    ) -> None:
        self.out, self.model, self.vocabulary, self.settings = out, model, vocabulary, settings
        self.formats: dict[str, Format] = {name: build(FORMATS, name) for name in save}
        self.instances, self.mask_maker = instances or Instances(), mask_maker

    @classmethod
    def of(
        cls,
        out: Path,
        manifest: dict[str, Any],
        save: Sequence[str] | None = None,
        instances: str | None = None,
        min_area: int | None = None,
    ) -> "Results":
        """The results of a folder by its manifest.

        Args:
            out: the folder.
            manifest: of the folder.
            save: names of further formats, beside those that the manifest names.
            instances: one of :data:`densevl.api.jobs.formats.record.INSTANCES`; None for what the manifest says.
            min_area: least pixels of an instance; None for what the manifest says.

        Raises:
            UsageError: where the manifest is not that of segmenting.
        """
        try:
            words = dict(manifest["vocabulary"])
            words["classes"] = tuple(map(tuple, words["classes"]))
            words["palette"] = tuple(map(tuple, words["palette"]))
            vocabulary, model, settings = Vocabulary(**words), manifest["model"], manifest["fingerprint"]
            _ = manifest["saved"], manifest["instances"], manifest["min_area"]
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"the manifest {out / MANIFEST} is not one of `densevl segment` ({error})") from None
        return cls(out, model, vocabulary, settings, *chosen(manifest, save, instances, min_area))

    def manifest(self, **settings: Any) -> dict[str, Any]:
        """The manifest of the folder.

        Args:
            settings: what else decides the results.
        """
        words = asdict(self.vocabulary)
        return described("segment", self.settings, model=self.model, vocabulary=words, **settings, **self.choices())

    def choices(self) -> dict[str, Any]:
        """What the manifest says of formats and instances, which may differ from one run of a job to the next."""
        kinds = self.instances
        return {"saved": list(self.formats), "instances": kinds.mode, "min_area": kinds.min_area}

    def named(self, inputs: Sequence[Input]) -> list[Any]:
        """The inputs under the names that they have in the folder.

        An image that has results under another name keeps that name; one whose name belongs to another image gets a
        longer one.

        Args:
            inputs: dataclasses, with names that differ.
        """
        taken = {item.relative for item in inputs}
        other = [(name, self.record(name)) for name in self._names() if name not in taken]
        known = {_place(record): name for name, record in other if record is not None}
        named: list[Any] = []
        for item in inputs:
            longer = (name for name in below(Path(item.place), Path(item.place).parent) if name not in taken)
            if item.place in known and not self.is_done(item):
                item = replace(item, relative=known[item.place])  # type: ignore[type-var]
            while self.is_of_another(item):
                item = replace(item, relative=next(longer, f"{item.relative}-another"))  # type: ignore[type-var]
                taken.add(item.relative)
            named.append(item)
        return named

    def is_of_another(self, item: Input) -> bool:
        """True where results of this name are there, and those of another image that is still where it was."""
        record = self.record(item.relative)
        place = item.place if record is None else _place(record)
        return place != item.place and is_there(place)

    def is_done(self, item: Input) -> bool:
        """True where the results of the input are there: of the same input, made with the same settings.

        A format that the record does not tell of is not missed: :meth:`complete` writes it of the record.
        """
        record = self.record(item.relative)
        if record is None or _place(record) != item.place:
            return False
        if self.instances.mode == "masks" and record.get("mask_maker") != self.mask_maker:
            return False
        try:
            image = self._image(item.relative, record)
        except UsageError:
            return False
        written = [made for name, made in self.formats.items() if name in record["saved"]]
        return all(self._is_there(made, image) for made in written) and record["source"] == _source(item)

    def _is_there(self, made: Format, image: ImageRecord) -> bool:
        """True where the files of a format are there, under their names or those that they once had."""
        older = made.older(image)
        return all((self.out / file).is_file() for file in made.files(image)) or (
            bool(older) and all((self.out / file).is_file() for file in older)
        )

    def write(
        self,
        item: Input,
        result: LabelMap,
        masks: Bool[np.ndarray, "n _ _"] | None = None,
        familiarity: Mapping[str, Any] | None = None,
        trust: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the results of an input.

        Args:
            item: the input.
            result: its label map.
            masks: of the mask maker, where it was asked.
            familiarity: what is known of the image's kind, where that can be said.
            trust: what supports taught classes, part by part, where that was asked for.

        Raises:
            OutputError: where a file cannot be written.
        """
        place, *state = _source(item)
        image = ImageRecord.of(result, item.relative, _file_name(item), place, tuple(state), masks, self.instances)
        saved, _ = self._save(image, {})
        asked = {} if masks is None else {"mask_maker": self.mask_maker}
        kind = {} if familiarity is None else {"familiarity": familiarity}
        kind |= {} if trust is None else {"trust": trust}
        kept = {"settings": self.settings, "model": self.model, **image.as_json(), **asked, **kind}
        self._write_json(f"{item.relative}{RECORD}", {**kept, "saved": saved})

    def complete(self) -> list[Failure]:
        """Write what the formats lack of inputs that are done, of their records; gives what could not be written.

        A format lacks what it never wrote, what could not be written before, and what it wrote with another choice of
        instances. The list of failures has what could not be written, too, under the name of results and format.

        Raises:
            OutputError: where a file cannot be written.
        """
        failures, names = list[Failure](), set[str]()
        for name, record in self.records():
            names.update(f"{name} ({format_name})" for format_name in self.formats)
            if not self._stamps().items() <= record["saved"].items():
                saved, failed = self._save(self._image(name, record), record["saved"])
                failures += failed
                if saved != record["saved"]:
                    self._write_json(f"{name}{RECORD}", {**record, "saved": saved})
        listed = FailureList(self.out)
        listed.forget(names.__contains__)
        listed.add(*failures)
        return failures

    def _save(self, image: ImageRecord, before: dict[str, str]) -> tuple[dict[str, str], list[Failure]]:
        """Write the formats that were not written before; gives those that are written now, and what failed."""
        saved, failures = dict(before), []
        for name, stamp in self._stamps().items():
            if saved.get(name) == stamp:
                continue
            saved.pop(name, None)
            made = self.formats[name]
            try:
                made.write(self.out, image)
                saved[name] = stamp
                for file in made.older(image):
                    (self.out / file).unlink(missing_ok=True)
            except (ImageError, UsageError) as error:
                failures.append(Failure(f"{image.name} ({name})", str(error)))
        return saved, failures

    def _stamps(self) -> dict[str, str]:
        """The choice of instances that each format is written with, empty where it does not hang on it."""
        return {name: str(self.instances) if made.of_segments else "" for name, made in self.formats.items()}

    def _image(self, name: str, record: dict[str, Any]) -> ImageRecord:
        return ImageRecord.from_json(record, name, self.vocabulary, self.instances)

    def records(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Names and records of all inputs that are done, in the natural order of their names.

        Folders below that hold jobs of their own are passed over, and so are inputs that failed since.
        """
        failed = {failure.name for failure in FailureList(self.out).read()}
        for name in sorted(map(Path, self._names()), key=natural_order):
            record = self.record(name.as_posix())
            if record is not None and _place(record) not in failed:
                yield name.as_posix(), record

    def join(self) -> None:
        """Write what is joined of all records of the folder; the caller holds its lock.

        Raises:
            OutputError: where it cannot be written.
        """
        for made in self.formats.values():
            made.join(self.out, (self._image(name, record) for name, record in self.records()), self.vocabulary)

    def record(self, name: str) -> dict[str, Any] | None:
        """The record of an input by its name; None where there is none of these settings."""
        return self._read(self._path(name, RECORD))

    def labels(self, name: str) -> Int32[np.ndarray, "H W"]:
        """The label map of an input that is done."""
        record = self.record(name)
        if record is None:
            raise UsageError(f"{self.out} has no record of {name} any more; segment the image again")
        return self._image(name, record).labels

    def files(self, name: str) -> list[Path]:
        """The files of an input, the record last."""
        record = self.record(name)
        if record is None:
            return []
        image = self._image(name, record)
        written = [file for made in self.formats.values() for file in (*made.files(image), *made.older(image))]
        return [path for path in (self.out / file for file in [*written, f"{name}{RECORD}"]) if path.is_file()]

    def clear(self) -> None:
        """Remove all results, and nothing else of the folder.

        Raises:
            OutputError: where a file cannot be removed.
        """
        videos = {self.out / f"{name.rpartition('/')[0]}{VIDEO}" for name, _ in self.records() if "/" in name}
        joined = [self.out / file for made in self.formats.values() for file in made.joined]
        listed = [*joined, FailureList(self.out).path, *self.out.glob("shard-*-of-*.json"), *videos]
        names = [name for name in self._names() if self.record(name) is not None]
        removed = [*listed, *(path for name in names for path in reversed(self.files(name)))]
        try:
            for path in removed:
                path.unlink(missing_ok=True)
            folders = {parent for path in removed for parent in path.parents}
            for folder in sorted(folders, key=lambda folder: -len(folder.parts)):
                with suppress(OSError):  # one that is not empty, or a folder above of another's
                    if self.out in folder.parents:
                        folder.rmdir()
        except OSError as error:
            raise OutputError(f"cannot remove {error.filename}: {error.strerror}; name another folder") from error

    def _names(self) -> list[str]:
        names = []
        for folder, inner, files in os.walk(self.out):
            inner[:] = [name for name in inner if not os.path.exists(os.path.join(folder, name, MANIFEST))]
            found = [file for file in files if file.endswith(RECORD) and not file.startswith(".")]
            names += [Path(os.path.relpath(os.path.join(folder, file), self.out)).as_posix() for file in found]
        return [name.removesuffix(RECORD) for name in names]

    def _path(self, name: str, suffix: str) -> Path:
        return self.out / f"{name}{suffix}"

    def _read(self, path: Path) -> dict[str, Any] | None:
        """The record in a file; None where there is none of these settings."""
        try:
            record: dict[str, Any] = parse_json(path.read_text(encoding="utf-8"))
            usable = record["settings"] == self.settings and record["source"] and isinstance(record["saved"], dict)
            return record if usable else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _write_json(self, name: str, value: Any) -> None:
        with atomic_write(self.out / name) as temporary:
            temporary.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def _source(item: Input) -> list[Any]:
    """The input, and the state that it is in."""
    return [item.place, *item.state()]


def _place(record: dict[str, Any]) -> str:
    return str(record["source"][0])


def is_there(place: str) -> bool:
    """True where an image still is where it was; what is not in a file counts as there."""
    path = Path(place)
    return not path.is_absolute() or path.exists() or any(folder.is_file() for folder in path.parents)


def _file_name(item: Input) -> str:
    """The path of an image below the folder of images, as its results lie below theirs."""
    own = Path(urlsplit(item.place).path if is_url(item.place) else item.place)
    results = PurePosixPath(item.relative)
    return (
        results.parent / (own.name if results.name in (own.name, own.stem) else results.name + own.suffix)
    ).as_posix()


def chosen(
    before: Mapping[str, Any], save: Sequence[str] | None, instances: str | None, min_area: int | None
) -> tuple[tuple[str, ...], Instances]:
    """The formats and the instances of a folder.

    A format that a folder has is kept up to date, so that nothing joined in it is out of date: formats are added.

    Args:
        before: the manifest of the folder; empty for a new one.
        save: names of formats; None for those that the folder has, or the usual ones.
        instances: one of :data:`densevl.api.jobs.formats.record.INSTANCES`; None for the choice of the folder.
        min_area: least pixels of an instance; None for the choice of the folder.

    Raises:
        UsageError: where the instances are unknown.
    """
    usual = Instances()
    names = [*before.get("saved", ()), *(save if save is not None else () if before else DEFAULT)]
    mode = before.get("instances", usual.mode) if instances is None else instances
    least = before.get("min_area", usual.min_area) if min_area is None else min_area
    return tuple(dict.fromkeys(names)), Instances(mode, least)
