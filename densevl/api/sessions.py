"""Classes that come in sessions: a model is tuned on and on, beside plain tuning and Gaussian classes.

Both stand beside every method, since a figure of learning without forgetting says nothing by itself: plain tuning of
the same numbers says what is forgotten where nobody cares, and the Gaussian classes, which add up, say what can be had
without any tuning. They are measured where there is something to measure on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from densevl.classifiers.classes import Classes
from densevl.core.errors import UsageError
from densevl.metrics.sessions import Course, SessionScores
from densevl.regions.embedders.embedder import RegionEmbedder
from densevl.training.tuning.continual.course import lessons_of, run_course
from densevl.training.tuning.continual.exam import Exam
from densevl.training.tuning.continual.groups import SessionsLike, given_sessions, sessions_of
from densevl.training.tuning.continual.learners import IncrementalGDA, Learner, Lesson, TunedLearner
from densevl.training.tuning.looks import Shown
from densevl.training.tuning.methods import Settings, with_sessions
from densevl.training.tuning.model import TunedCLIP

__all__ = ["Asked", "SessionRun", "plain_settings"]


class Asked:
    """Held-out examples that are asked after each session.

    Args:
        shown: the examples, image by image.
        names: class of each; some may be of no session.
        captions: what is said of each; empty for nothing.
    """

    def __init__(self, shown: Sequence[Shown], names: Sequence[str], captions: Sequence[str]) -> None:
        self.shown, self.names, self.captions = shown, names, captions

    def exam(self, sessions: Sequence[Sequence[str]]) -> Exam:
        """The same with the classes of the sessions."""
        return Exam(self.shown, self.names, self.captions, sessions)


class SessionRun:
    """Sessions of a model that is tuned.

    Args:
        sessions: a number of them, a JSON file of the classes of each, or lists of classes.
        method: name of the method, for reports.
        folder: where what was learnt after each session is kept; None for nowhere.
        resume: go on behind the last session that is kept there.
        amp: compute in bfloat16 where that is safe.

    Attributes:
        asked: what is asked after each session; None for nothing.
        groups: the classes of each session, once they are known.
        courses: figures by the name of the way to learn.

    Raises:
        UsageError: where the sessions are none, or there is one only.
    """

    def __init__(
        self,
        sessions: SessionsLike,
        method: str,
        folder: Path | None = None,
        resume: bool = False,
        amp: bool = False,
    ) -> None:
        self.sessions, self.method, self.folder, self.resume = given_sessions(sessions), method, folder, resume
        self.amp = amp
        self.asked: Asked | None = None
        self.groups: tuple[tuple[str, ...], ...] = ()
        self.courses: dict[str, Course] = {}

    def check(self, settings: Settings, names: Sequence[str]) -> None:
        """Settle the classes of each session before anything is learnt.

        Args:
            settings: of the method.
            names: of the classes of the examples, in the order in which they first come.

        Raises:
            UsageError: where the method knows no sessions, or the sessions do not fit the classes.
        """
        if settings.sessions is None:
            raise UsageError(
                f"{self.method} learns all classes at once and knows no sessions; leave --sessions out, or take one of "
                f"{', '.join(with_sessions())}"
            )
        self.groups = sessions_of(self.sessions, names)

    def learn(
        self,
        model: TunedCLIP,
        embedder: RegionEmbedder,
        before: RegionEmbedder,
        shown: Sequence[Shown],
        names: Sequence[str],
        facts: Mapping[str, Any],
    ) -> None:
        """Tune in sessions, and measure what stands beside it.

        Args:
            model: what is tuned.
            embedder: of its encoder.
            before: of the encoder as it was.
            shown: the examples, image by image.
            names: class of each.
            facts: what decides the result beside settings: JSON values only.

        Raises:
            UsageError: where a session has no example, or what is kept is of another run.
        """
        lessons = lessons_of(names, self.groups, lambda places: chosen_of(shown, places))
        exam = None if self.asked is None else self.asked.exam(self.groups)
        learner = TunedLearner(model, embedder, before, self.amp)
        ways: dict[str, Learner] = {self.method: learner}
        if exam is not None:
            plain = plain_settings(model.settings)
            if plain.facts != model.settings.facts:
                beside = TunedLearner.of(before, plain, model.templates, model.seed)
                beside.amp = self.amp
                ways["plain tuning of the same numbers"] = beside
            ways["incremental GDA"] = IncrementalGDA(before, model.templates)
        with tqdm(total=len(ways) * len(lessons), desc="sessions", delay=2, disable=None) as bar:
            for number, (name, way) in enumerate(ways.items()):
                course = self._course(name, way, lessons, exam, number, facts, bar)
                if course is not None:
                    self.courses[name] = course

    def _course(
        self,
        name: str,
        way: Learner,
        lessons: Sequence[Lesson],
        exam: Exam | None,
        number: int,
        facts: Mapping[str, Any],
        bar: tqdm,
    ) -> Course | None:
        folder = None if self.folder is None else self.folder / ("method", "plain", "gda")[min(number, 2)]

        def told(session: int, scores: SessionScores | None) -> None:
            bar.update()

        said = {**facts, "way": name, "exam": None if exam is None else [len(exam.names), exam.never_seen]}
        return run_course(way, lessons, exam, folder, self.resume, said, told)

    def as_dict(self, model: str, test: str | None) -> dict[str, Any]:
        """Values for a JSON file.

        Args:
            model: name of the model.
            test: where the held-out examples were read.
        """
        exam = None if self.asked is None else self.asked.exam(self.groups)
        return {
            "format": "densevl sessions 1",
            "method": self.method,
            "model": model,
            "sessions": [list(group) for group in self.groups],
            "test": None if exam is None else {"source": test, "examples": len(exam.names)},
            "never_seen": [] if exam is None else list(exam.never_seen),
            "ways": {name: course.as_dict() for name, course in self.courses.items()},
        }

    def lines(self) -> list[str]:
        """The figures, for people."""
        sizes = ", ".join(str(len(group)) for group in self.groups)
        lines = [f"{len(self.groups)} sessions of {sizes} classes"]
        for name, course in self.courses.items():
            lines += course.lines(name)
        return lines


def plain_settings(settings: Settings) -> Settings:
    """The same numbers tuned for the classes alone: nothing is kept near what it was."""
    return replace(settings, losses=({"type": "cross-entropy"},), sessions={})


def chosen_of(shown: Sequence[Shown], chosen: Sequence[int]) -> list[Shown]:
    """The regions of some examples, numbered anew in their order."""
    new = {number: place for place, number in enumerate(chosen)}
    found = []
    for one in shown:
        rows = [row for row, number in enumerate(one.numbers) if number in new]
        if rows:
            found.append(Shown(one.image, one.regions[rows], [new[one.numbers[row]] for row in rows]))
    return found


def noted(classes: Classes, head: str, run: SessionRun) -> Classes:
    """Classes that know in which sessions they came."""
    return classes.noted(head, sessions=[list(group) for group in run.groups])
