"""Tuning a model and writing what was learnt: the classes with the delta inside, plain weights, pictures for people.

With a report folder it writes what :mod:`densevl.api.jobs.teach` does and, where classes came in sessions and held-out
examples were asked after each,

* ``sessions.json``: every figure after each session, of the method and of what stands beside it;
* ``sessions.png``: the same as small charts.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.dist import barrier, is_main_process
from safetensors.torch import save_file

from densevl.api.jobs.familiarity import Unfamiliar, familiarity_record
from densevl.api.jobs.shrink import check_target
from densevl.api.jobs.teach import TeachJob
from densevl.api.sessions import SessionRun
from densevl.core.drawing.overlay import write_image
from densevl.core.errors import OutputError, UsageError
from densevl.core.files import atomic_write
from densevl.datasets.examples import Example
from densevl.encoders.clip import CLIPEncoder
from densevl.tasks.teaching.teacher import Taught

__all__ = ["TuneJob", "check_writable", "write_weights"]


SHOWN = 20
"""Images that are looked at to say whether the model knows such images."""


class TuneJob(TeachJob):
    """Tunes a model and writes what it learnt."""

    sessions: SessionRun | None = None

    def run(self, examples: Sequence[Example], **settings: Any) -> Taught:
        """Tune and write; nothing is written where tuning fails, but for checkpoints in the work folder.

        Args:
            examples: what to learn from.
            settings: of :meth:`densevl.Model.tuned`; ``fold`` names the file of the plain weights, or is None, and
                ``work_dir`` may be None for a folder that is removed when all is done, and ``sessions`` is a
                :class:`densevl.api.sessions.SessionRun` or None.

        Raises:
            ImageError: where an image cannot be read.
            UsageError: where the examples or the settings cannot be used, or tuning diverges.
            OutputError: where a result cannot be written, said before anything is learnt.
        """
        fold, work_dir = settings.pop("fold", None), settings.pop("work_dir", None)
        if is_main_process():
            check_writable(self.out)
            if fold is not None:
                check_target(fold)
                check_writable(fold)
            self._note_strangers(examples)
        folder, self.sessions = (
            self.out.with_suffix(".tuning") if work_dir is None else work_dir,
            settings.get("sessions"),
        )
        tuned = self.model.tuned(examples, **settings, work_dir=folder, fold=fold is not None, loaded=self.loaded)
        if is_main_process():
            tuned.classes.save(self.out)
            if fold is not None:
                write_weights(tuned.encoder, fold)
            for path, picture in self._pictures(tuned.taught).items():
                write_image(path, picture)
            self._write_sessions()
            if work_dir is None:
                shutil.rmtree(folder, ignore_errors=True)
        barrier()
        return tuned.taught

    def _note_strangers(self, examples: Sequence[Example]) -> None:
        """Say on standard error where images are not of the kind that the model knows."""
        if self.model.known is None:
            return
        noted = Unfamiliar(self.model.name)
        paths = list(dict.fromkeys(example.image for example in examples))[:SHOWN]
        for path, p in zip(paths, self.model.familiarity(paths), strict=True):
            noted.note(path.name, familiarity_record(self.model.known, p))
        noted.report()

    def _write_sessions(self) -> None:
        """The figures after each session, where some were measured."""
        if self.report is None or self.sessions is None or not self.sessions.courses:
            return
        write_image(self.report / "sessions.png", self.sessions.picture())
        text = json.dumps(self.sessions.as_dict(self.model.name), indent=1, ensure_ascii=False, allow_nan=False)
        with atomic_write(self.report / "sessions.json") as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")

    def lines(self, taught: Taught) -> list[str]:
        """What was learnt, for people."""
        classes = taught.classes
        counts = [taught.labels.count(label) for label in range(len(classes))]
        lines = [f"{count:7}  {name}" for name, count in zip(classes.names, counts, strict=True)]
        for name, head in classes.heads.items():
            facts, held = head.facts, head.facts.get("held_out")
            lines.append(f"{name}: {facts['method']}, {facts['parameters']} numbers tuned in {facts['seconds']:.0f} s")
            if held is None:
                lines.append(
                    "  nothing was held out, so probabilities are not calibrated: that takes more than four examples "
                    "of each class, in several images"
                )
            else:
                what = "are right" if facts["labels"] == "given" else "agree with the labels that were made for them"
                lines.append(
                    f"  {held['accuracy']:.1%} of {held['examples']} examples of {facts['held_out_images']} held-out "
                    f"images {what} (ECE {held['ece']:.3f}); they chose the temperature, and nothing else"
                )
        if self.sessions is not None:
            lines += self.sessions.lines()
        lines.append(f"{self.out}")
        if self.report is not None:
            lines.append(f"{self.report / 'examples.png'}")
        if self.report is not None and self.sessions is not None and self.sessions.courses:
            lines.append(f"{self.report / 'sessions.png'}")
        return lines


def check_writable(path: Path) -> None:
    """Refuse a file that cannot be written, before anything is learnt.

    Raises:
        UsageError: where it is a folder.
        OutputError: where its folder cannot be written.
    """
    if path.is_dir():
        raise UsageError(f"--out {path} is a folder; name a file, such as {path / 'classes.safetensors'}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        trial = path.parent / f".{path.name}.trial"
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; choose another file") from None


def write_weights(encoder: CLIPEncoder, path: Path) -> None:
    """Write the weights of an encoder and, beside them, its architecture: a model that ``--weights`` takes.

    Args:
        encoder: with plain weights.
        path: of the file of safetensors.

    Raises:
        OutputError: where they cannot be written.
    """
    state = {name: value.detach().cpu().contiguous() for name, value in encoder.model.state_dict().items()}
    prepared = {name: getattr(encoder, name) for name in ("mean", "std", "resize", "interpolation")}
    said = {"arch": encoder.arch} if isinstance(encoder.arch, str) else {"model_cfg": encoder.arch}
    with atomic_write(path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps({**said, "preparation": prepared}, indent=2) + "\n", encoding="utf-8")
    with atomic_write(path) as temporary:
        save_file({name: value.clone() for name, value in state.items()}, temporary, metadata={"format": "pt"})
