"""Finding what expressions refer to in one image or in many, and writing what was found, each file whole or not at all.

For an image ``cat.jpg`` it writes

* ``cat.refer.png``: the best regions and their probabilities; ``cat.refer.1.png`` and so on for several expressions;
* ``cat.marked.png``, with ``show_marked``: the same regions under each visual prompt of the model, as a contact sheet;
  ``cat.marked.1.png`` and so on for several expressions, numbered as the images are;
* ``index.html``, with ``html`` and of one image: a page of the regions, and its pictures below ``page/``;
* ``cat.refer.json``: every region of every expression with its box (xyxy), mask, scores and probability, written last.

The folder of many images holds one job, which its manifest ``job.json`` tells; a run that was stopped goes on with what
is not done. ``refer.jsonl`` joins the answers, a line an expression, and ``failures.jsonl`` lists the images without.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from densevl.api.jobs.asked import Asked
from densevl.api.jobs.familiarity import Unfamiliar
from densevl.api.jobs.manifest import begin, described
from densevl.api.jobs.pages import write_refer_page
from densevl.api.jobs.refer_worker import RECORD, Answer, ReferRecipe, Referred, ReferWorker, picture_names
from densevl.api.jobs.results import is_there
from densevl.api.jobs.runs import Run, fingerprint
from densevl.api.loading import Loading
from densevl.api.model import Model
from densevl.classifiers.classes import Classes
from densevl.core.engine import HERE, Engine
from densevl.core.failures import FailureList
from densevl.core.files import InputFile, atomic_write, parse_json
from densevl.core.inputs import Input
from densevl.regions.proposals import ProposalFile, Proposals
from densevl.tasks.grounding.grounding import Grounding
from densevl.weights.download import file_sha256

__all__ = ["ANSWERS", "ReferJob"]

ANSWERS = "refer.jsonl"
"""The answers of all images, a line an expression."""


class ReferJob:
    """Grounds expressions in one image or in many and writes the results.

    Args:
        model: a model with a grounder.
        out: folder of the results; made where it is missing.
        top: how many regions the images show.
        show_marked: also write the marked images.
        html: also write a page, of one image.
        classes: taught classes; a noun that is the name of one means what was taught.
        engine: where the work on many images is done.
        loading: how other processes load the model; needed where the engine has any.
    """

    def __init__(
        self,
        model: Model,
        out: Path,
        top: int = 5,
        show_marked: bool = False,
        html: bool = False,
        classes: Classes | None = None,
        engine: Engine = HERE,
        loading: Loading | None = None,
    ) -> None:
        self.model, self.out, self.top, self.show_marked, self.html = model, out, top, show_marked, html
        self.classes, self.engine, self.loading = classes, engine, loading
        self.worker = ReferWorker(model, out, top, show_marked, classes)
        self.unfamiliar = Unfamiliar(model.name, "fgvp")

    def run(
        self, source: Path | Input, expressions: Sequence[str], proposals: Proposals | None = None
    ) -> list[Grounding]:
        """Ground all expressions in one image and write the results.

        Args:
            source: the image.
            expressions: what to find.
            proposals: the regions to choose from; None lets the model propose.

        Raises:
            ImageError: where the image cannot be read.
            UsageError: where an expression or the proposals cannot be used.
            OutputError: where a result cannot be written.
        """
        item = _input(source)
        asked = Asked(item, tuple(expressions), None, item.relative)
        self.worker.proposals = proposals
        (made,) = self.worker.make([asked], [self.worker.read(asked)])
        if self.html:
            write_refer_page(self.out, item.relative, made.image, made.groundings, self.model.name, self.top)
        said = self.worker.write(asked, made)
        self.unfamiliar.note(item.name, said.familiarity)
        return made.groundings

    def run_many(
        self, asked: Sequence[Asked], boxes: Path | None = None, overwrite: bool = False
    ) -> Run[Asked, Referred]:
        """Ground the expressions of many images that have no answers yet; one that fails stops no other.

        Args:
            asked: the images with their expressions.
            boxes: JSON file of the boxes to choose from, of one or many images; None lets the model propose.
            overwrite: ground anew what is done; a folder with other settings is begun anew.

        Raises:
            OutputError: where a result cannot be written: the disk would fail for the other images as well.
            UsageError: where the folder has another job, or the boxes cannot be used.
        """
        proposals = None if boxes is None else ProposalFile(boxes, named=True)
        settings = {
            "model": self.model.name,
            "protocol": self.model.grounder.protocol,
            "classes": None if self.classes is None else self.classes.digest,
            "known": None if self.model.known is None else self.model.known.digest,
            "boxes": None if boxes is None else file_sha256(boxes)[:12],
            "top": self.top,
            "show_prompts": self.show_marked,
        }
        digest = fingerprint(settings)
        begin(self.out, described("refer", digest, **settings), overwrite, lambda before: self._clear())
        arguments = (self.out.absolute(), self.top, self.show_marked, self.classes, proposals, digest)
        self.worker = ReferWorker(self.model, *arguments)
        recipe = None if self.loading is None else ReferRecipe(self.loading, self.model.known, arguments)
        answers: dict[str, Referred] = {}

        def is_done(item: Asked) -> bool:
            said = None if overwrite else self._said(item, digest)
            if said is not None:
                answers[item.relative] = said
            return said is not None

        named = self._named(asked)
        mine = {item.place for item in named}
        run = Run[Asked, Referred](self.out, named, is_done, lambda name: name in mine or not is_there(name))
        for item in run.todo:
            self._forget(item)
        run.work(self.engine, recipe, self.worker, "referring")
        answers.update({item.relative: said for item, said in run.done})
        for item in named:
            if item.relative in answers:
                self.unfamiliar.note(item.name, answers[item.relative].familiarity)
        self._join(named, answers)
        return run

    def texts_of(self, found: Sequence[Grounding]) -> list[str]:
        """The phrases of expressions that the model read, those about taught classes apart."""
        texts, taught = [text for grounding in found for text in grounding.phrase.texts], self.worker.taught
        return [text for text in texts if taught is None or taught.noun(text) is None]

    def pictures(self, source: Path | Input, count: int) -> list[Path]:
        """The files of the images with the ranking."""
        return [self.out / name for name in picture_names(_input(source).relative, "refer", count)]

    def sheets(self, source: Path | Input, count: int) -> list[Path]:
        """The files of the contact sheets; none without ``show_marked``."""
        names = picture_names(_input(source).relative, "marked", count) if self.show_marked else []
        return [self.out / name for name in names]

    def _named(self, asked: Sequence[Asked]) -> list[Asked]:
        """What is asked, under names whose results in the folder are of no other image that is still there."""
        taken, named = {item.relative for item in asked}, []
        for item in asked:
            name, numbers = item.relative, iter(range(2, len(asked) + 2**20))
            while self._is_of_another(item):
                longer = next(f"{name}-{number}" for number in numbers if f"{name}-{number}" not in taken)
                item = replace(item, relative=longer)
                taken.add(longer)
            named.append(item)
        return named

    def _is_of_another(self, item: Asked) -> bool:
        record = self._record(item.relative)
        place = None if record is None else str(record.get("source", [item.place])[0])
        return place is not None and place != item.place and is_there(place)

    def _said(self, item: Asked, settings: str) -> Referred | None:
        """What the folder says of an image; None where it was not asked the same, or the image has changed."""
        record = self._record(item.relative)
        try:
            if record is None or record["settings"] != settings or record["source"] != [item.place, *item.state()]:
                return None
            boxes = None if item.boxes is None else list(map(list, item.boxes))
            said = Answer.of(record)
            if record["boxes"] != boxes or [one.expression for one in said] != list(item.expressions):
                return None
            there = all(path.is_file() for path in [*self.worker.pictures(item), *self.worker.sheets(item)])
            return Referred(said, record.get("familiarity")) if there else None
        except (KeyError, TypeError, IndexError):
            return None

    def _record(self, relative: str) -> dict[str, Any] | None:
        try:
            return dict(parse_json((self.out / f"{relative}{RECORD}").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def _forget(self, item: Asked) -> None:
        """Remove what other expressions left of an image, the record first."""
        record = self._record(item.relative)
        if record is not None:
            self._remove(item.relative, record)

    def _remove(self, relative: str, record: Mapping[str, Any]) -> None:
        count = len(record.get("expressions", ()))
        names = [name for kind in ("refer", "marked") for name in picture_names(relative, kind, count)]
        for name in [f"{relative}{RECORD}", *names]:
            with suppress(OSError):
                (self.out / name).unlink(missing_ok=True)

    def _clear(self) -> None:
        """Remove the results of the job that the folder had, and nothing else."""
        for path in self.out.rglob(f"*{RECORD}"):
            relative = path.relative_to(self.out).as_posix().removesuffix(RECORD)
            record = self._record(relative)
            if record is not None and "settings" in record:
                self._remove(relative, record)
        for path in (self.out / ANSWERS, FailureList(self.out).path):
            path.unlink(missing_ok=True)

    def _join(self, named: Sequence[Asked], answers: Mapping[str, Referred]) -> None:
        """Write the answers of the folder: those of earlier runs about other images, then those of this one."""
        own = {f"{item.relative}{RECORD}" for item in named}
        lines = [line for line in self._lines() if line["record"] not in own and (self.out / line["record"]).is_file()]
        for item in named:
            for answer in answers[item.relative].answers if item.relative in answers else ():
                lines.append({"image": item.name, "record": f"{item.relative}{RECORD}", **answer._asdict()})
        with atomic_write(self.out / ANSWERS) as temporary, temporary.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)

    def _lines(self) -> Iterator[dict[str, Any]]:
        """The answers of earlier runs."""
        try:
            with (self.out / ANSWERS).open(encoding="utf-8") as file:
                for text in file:
                    line = parse_json(text)
                    if isinstance(line, dict) and isinstance(line.get("record"), str):
                        yield line
        except (OSError, ValueError):
            return


def _input(source: Path | Input) -> Input:
    return InputFile(source, source.stem) if isinstance(source, Path) else source
