"""The results of a segmenting job: the files of each input, and what is joined of all of them.

For an input ``day1/cat.jpg`` there are the files of every format that was chosen, each written whole or not at all, and
``day1/cat.record.json``, written last: it marks the input as done, and keeps everything that formats are made of. So
another format can be added, and what is joined be joined again, without the model. A list of what is done
(:mod:`densevl.api.jobs.done`) spares the next run the reading of the records.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from filecmp import cmp
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from jaxtyping import Bool, Float16, Int32

from densevl.api.jobs.done import LIST, RECORD, Done, DoneList, Listing
from densevl.api.jobs.formats import DEFAULT, FORMATS
from densevl.api.jobs.formats.contracts import Format
from densevl.api.jobs.formats.joined import join
from densevl.api.jobs.formats.record import ImageRecord, Instances
from densevl.api.jobs.manifest import MANIFEST, described, own_version
from densevl.core.errors import ImageError, OutputError, UsageError
from densevl.core.failures import Failure, FailureList
from densevl.core.files import atomic_write, below, file_state, natural_order
from densevl.core.inputs import Input
from densevl.core.inputs.urls import is_url
from densevl.core.labelmap import LabelMap
from densevl.core.registry import build
from densevl.core.vocabulary import Vocabulary

__all__ = ["VIDEO", "Results", "chosen", "is_there"]

VIDEO = ".overlay.mp4"


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
        self._list, self._listing = DoneList(out, settings), Listing(out)
        self._seen = self._joins()

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

    @property
    def wants_probabilities(self) -> bool:
        """True where a format writes the probabilities of an image as it is labelled."""
        return any(made.of_probabilities for made in self.formats.values())

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

    def named(self, inputs: Sequence[Input]) -> Iterator[Any]:
        """The inputs, in their order, under the names that they have in the folder, whose state is looked at anew.

        An image that has results under another name keeps that name; one whose name belongs to another image gets a
        longer one.

        Args:
            inputs: dataclasses, with names that differ.
        """
        self._look()
        taken = {item.relative for item in inputs}
        other = [done for name in self._list.lines if name not in taken and (done := self._list.get(name))]
        known = {done.place: done.name for done in other}
        for item in inputs:
            if known and item.place in known and not self.is_done(item):
                item = replace(item, relative=known[item.place])  # type: ignore[type-var]
            longer: Iterator[str] | None = None
            while self._is_of_another(item, self._list.get(item.relative)):
                longer = longer or below(item.place, Path(item.place).parent)
                name = next((name for name in longer if name not in taken), f"{item.relative}-another")
                item = replace(item, relative=name)  # type: ignore[type-var]
                taken.add(item.relative)
            yield item

    def _look(self) -> None:
        self._list.refresh()
        self._listing = Listing(self.out)

    def is_of_another(self, item: Input) -> bool:
        """True where results of this name are there now, and those of another image that is still where it was."""
        return self._is_of_another(item, self._list.read_done(item.relative))

    def _is_of_another(self, item: Input, done: Done | None) -> bool:
        return done is not None and done.place != item.place and is_there(done.place)

    def is_done(self, item: Input) -> bool:
        """True where the results of an input are there, see :meth:`finished`."""
        return self.finished(item) is not None

    def finished(self, item: Input) -> Done | None:
        """What is known of an input whose results were there when :meth:`named` looked; None where it is to do.

        They are of the same input, made with the same settings. A format that the record does not tell of is not
        missed: :meth:`complete` writes it of the record.
        """
        done = self._list.get(item.relative)
        if done is None or list(done.source) != _source(item):
            return None
        if self.instances.mode == "masks" and done.mask_maker != self.mask_maker:
            return None
        if not done.listed:
            try:
                self._image(done.name)
            except UsageError:
                return None
            self._list.add(done)
        return done if self._has_files(done, self.formats) else None

    def known(self, name: str) -> Done | None:
        """What is known of an input by its name; None where there is no record of these settings."""
        return self._list.get(name)

    def copy(self, done: Done, part: "Results") -> None:
        """Copy the files of an input from a folder of the same job, where they are not the same here already.

        Raises:
            OutputError: where a file cannot be written.
        """
        files = [path.relative_to(part.out) for path in part.files(done.name)]
        record = f"{done.name}{RECORD}"
        with suppress(OSError):
            if all((self.out / file).is_file() for file in files) and cmp(part.out / record, self.out / record, False):
                return
        for file in files:
            with atomic_write(self.out / file) as temporary:
                shutil.copyfile(part.out / file, temporary)
                state = file_state(temporary)
        if done.listed:
            self._list.add(done._replace(state=state))

    def _has_files(self, done: Done, names: Iterable[str]) -> bool:
        """True where what formats wrote of an input is still there."""
        image = self._outline(done)
        written = (self.formats[name] for name in names if name in done.saved)
        return all(self._has(made.files(image)) or self._has(made.older(image), 1) for made in written)

    def _has(self, files: Sequence[str], least: int = 0) -> bool:
        """True where all files are there, and no fewer than ``least``."""
        return len(files) >= least and all(map(self._listing.has, files))

    def _outline(self, done: Done) -> ImageRecord:
        """The record of an input without what is in the image: enough to name its files."""
        return ImageRecord(done.name, done.file_name, done.size, self.vocabulary, (), None, done.place)

    def write(
        self,
        item: Input,
        result: LabelMap,
        masks: Bool[np.ndarray, "n _ _"] | None = None,
        familiarity: Mapping[str, Any] | None = None,
        trust: Mapping[str, Any] | None = None,
        probabilities: Float16[np.ndarray, "k h w"] | None = None,
    ) -> None:
        """Write the results of an input.

        Args:
            item: the input.
            result: its label map.
            masks: of the mask maker, where it was asked.
            familiarity: what is known of the image's kind, where that can be said.
            trust: what supports taught classes, part by part, where that was asked for.
            probabilities: of the classes at cells, where a format wants them.

        Raises:
            OutputError: where a file cannot be written.
        """
        place, *state = _source(item)
        about = (item.relative, _file_name(item), place, tuple(state), masks, self.instances, probabilities)
        image = ImageRecord.of(result, *about)
        saved, _ = self._save(image, {})
        asked = {} if masks is None else {"mask_maker": self.mask_maker}
        kind = {} if familiarity is None else {"familiarity": familiarity}
        kind |= {} if trust is None else {"trust": trust}
        kept = {"settings": self.settings, "model": self.model, **image.as_json(), **asked, **kind}
        self._list.write(item.relative, {**kept, "saved": saved})

    def complete(self) -> list[Failure]:
        """Write what the formats lack of inputs that are done, of their records; gives what could not be written.

        A format lacks what it never wrote, what could not be written before, and what it wrote with another choice of
        instances. The list of failures has what could not be written, too, under the name of results and format.

        Raises:
            OutputError: where a file cannot be written.
            UsageError: where a record is damaged.
        """
        self._look()
        failures, stamps, joins = list[Failure](), self._stamps(), self._joins()
        for done in self.done():
            if not stamps.items() <= done.saved.items():
                record = self._record(done.name)
                saved, failed = self._save(self._image_of(done.name, record), done.saved)
                failures += failed
                if saved != done.saved:
                    done = self._list.write(done.name, {**record, "saved": saved})
            elif not done.listed:
                self._image(done.name)
                self._list.add(done)
            self._take(done, joins)
        self._seen = joins
        listed = FailureList(self.out)
        listed.forget(self._is_of_format)
        listed.add(*failures)
        return failures

    def _is_of_format(self, failure: str) -> bool:
        """True for the name of a failure of a format of an input that is done."""
        name, _, end = failure.rpartition(" (")
        return end.removesuffix(")") in self.formats and name in self._list.lines

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

    def _image(self, name: str) -> ImageRecord:
        return self._image_of(name, self._record(name))

    def _image_of(self, name: str, record: dict[str, Any]) -> ImageRecord:
        return ImageRecord.from_json(record, name, self.vocabulary, self.instances)

    def _record(self, name: str) -> dict[str, Any]:
        record = self.record(name)
        if record is None:
            raise UsageError(f"{self.out} has no record of {name} any more; segment the image again")
        return record

    def done(self) -> Iterator[Done]:
        """What is known of all inputs that are done, in the natural order of their names.

        Folders below that hold jobs of their own are passed over, and so are inputs that failed since.
        """
        failed = {failure.name for failure in FailureList(self.out).read()}
        for name in sorted(self._list.lines, key=natural_order):
            done = self._list.get(name)
            if done is None and (record := self.record(name)) is not None:
                self._image_of(name, record)  # says what is wrong with it
            if done is not None and done.place not in failed:
                yield done

    def join(self) -> None:
        """Write what is joined of all records of the folder, where :meth:`complete` saw that it is not as it should be.

        The caller holds the lock of the folder.

        Raises:
            OutputError: where it cannot be written.
            UsageError: where a record is damaged.
        """
        changed = [name for name, digest in self._seen.items() if not self._is_joined(name, digest.hexdigest())]
        # Whether a format that does not say which files it joins needs it again, nobody knows.
        untold = (name for name, made in self.formats.items() if not made.joined and made.is_joined)
        changed += untold
        if changed:
            self._look()
            digests = self._joins()
            for done in self.done():
                self._take(done, digests)
            made = [self.formats[name] for name in changed]
            join(made, self.out, lambda: (self._image(done.name) for done in self.done()), self.vocabulary)
            for name in changed:
                if name in digests:
                    self._list.add_joined(name, digests[name].hexdigest(), self._joined_states(name))
        self._list.compact()

    def _joins(self) -> dict[str, Any]:
        """A digest, for each format with joined files, of all that these are made of; empty yet."""
        words = f"{own_version()} {self.vocabulary} {self.instances}".encode()
        return {name: hashlib.sha256(words) for name, made in self.formats.items() if made.joined}

    def _take(self, done: Done, joins: Mapping[str, Any]) -> None:
        """Take an input into the digests."""
        told = json.dumps([done.name, done.state, done.file_name]).encode()
        for name, digest in joins.items():
            missed = self.formats[name].joins_files and not self._has_files(done, [name])
            digest.update(told + (b"-" if missed else b"+"))

    def _is_joined(self, name: str, digest: str) -> bool:
        """True where the joined files of a format were made of the same records, and are as they were written."""
        told = self._list.joined(name)
        return told.get("of") == digest and told.get("files") == [list(state) for state in self._joined_states(name)]

    def _joined_states(self, name: str) -> list[tuple[int, ...]]:
        return [file_state(self.out / file) for file in self.formats[name].joined]

    def record(self, name: str) -> dict[str, Any] | None:
        """The record of an input by its name; None where there is none of these settings."""
        found = self._list.read(name)
        return None if found is None else found[1]

    def areas(self, name: str) -> dict[str, float]:
        """Fraction of an image that is done in (0, 1] of each class that is in it, the largest first."""
        image = self._image(name)
        pixels = image.size[0] * image.size[1]
        return {self.vocabulary.names[segment.label]: segment.area / pixels for segment in image.classes}

    def labels(self, name: str) -> Int32[np.ndarray, "H W"]:
        """The label map of an input that is done."""
        return self._image(name).labels

    def files(self, name: str) -> list[Path]:
        """The files of an input, the record last."""
        done = self._list.read_done(name)
        if done is None:
            return []
        image = self._outline(done)
        written = [file for made in self.formats.values() for file in (*made.files(image), *made.older(image))]
        return [path for path in (self.out / file for file in [*written, f"{name}{RECORD}"]) if path.is_file()]

    def clear(self) -> None:
        """Remove all results, and nothing else of the folder.

        Raises:
            OutputError: where a file cannot be removed.
        """
        self._look()
        joined = [self.out / file for made in self.formats.values() for file in made.joined]
        notes = [FailureList(self.out).path, self.out / LIST, *self.out.glob("shard-*-of-*.json")]
        folders = set[Path]()
        try:
            for path in (*joined, *notes, *self._own_files()):
                path.unlink(missing_ok=True)
                folders.update(path.parents)
            for folder in sorted(folders, key=lambda folder: -len(folder.parts)):
                with suppress(OSError):  # one that is not empty, or a folder above of another's
                    if self.out in folder.parents:
                        folder.rmdir()
        except OSError as error:
            raise OutputError(f"cannot remove {error.filename}: {error.strerror}; name another folder") from error

    def _own_files(self) -> Iterator[Path]:
        """The files of all inputs, also of those that failed since, and the videos of their frames."""
        videos = set[str]()
        for name in self._list.lines:
            files = self.files(name)
            video = f"{name.rpartition('/')[0]}{VIDEO}"
            if files and "/" in name and video not in videos:
                videos.add(video)
                yield self.out / video
            yield from reversed(files)


def _source(item: Input) -> list[Any]:
    """The input, and the state that it is in."""
    return [item.place, *item.state()]


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
    before: Mapping[str, Any],
    save: Sequence[str] | None,
    instances: str | None,
    min_area: int | None,
    usual: Sequence[str] = DEFAULT,
) -> tuple[tuple[str, ...], Instances]:
    """The formats and the instances of a folder.

    A format that a folder has is kept up to date, so that nothing joined in it is out of date: formats are added.

    Args:
        before: the manifest of the folder; empty for a new one.
        save: names of formats; None for those that the folder has, or the usual ones.
        instances: one of :data:`densevl.api.jobs.formats.record.INSTANCES`; None for the choice of the folder.
        min_area: least pixels of an instance; None for the choice of the folder.
        usual: names of the usual formats.

    Raises:
        UsageError: where the instances are unknown.
    """
    plain = Instances()
    names = [*before.get("saved", ()), *(save if save is not None else () if before else usual)]
    mode = before.get("instances", plain.mode) if instances is None else instances
    least = before.get("min_area", plain.min_area) if min_area is None else min_area
    return tuple(dict.fromkeys(names)), Instances(mode, least)
