"""Classes that come in sessions: a model is tuned on and on, beside plain tuning and Gaussian classes.

Both stand beside every method, since a figure of learning without forgetting says nothing by itself: plain tuning of
the same numbers says what is forgotten where nobody cares, and the Gaussian classes, which add up, say what can be had
without any tuning. They are measured where there is something to measure on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from densevl.core.drawing.panels import draw_panels
from densevl.core.errors import UsageError, shortened
from densevl.core.vocabulary import normalised
from densevl.datasets.examples import Example
from densevl.metrics.sessions import Course
from densevl.regions.embedders.embedder import RegionEmbedder
from densevl.training.tuning.continual.course import lessons_of, run_course
from densevl.training.tuning.continual.exam import Exam
from densevl.training.tuning.continual.groups import SessionsLike, given_sessions, sessions_of
from densevl.training.tuning.continual.learners import IncrementalGDA, Learner, TunedLearner
from densevl.training.tuning.looks import Shown, of_numbers
from densevl.training.tuning.methods import Settings, with_sessions
from densevl.training.tuning.model import TunedCLIP

__all__ = ["PLAIN", "SessionRun", "plain_settings"]

PLAIN, GAUSSIAN = "plain tuning of the same numbers", "incremental GDA"
"""Names of what stands beside every method."""


class SessionRun:
    """Sessions of a model that is tuned.

    Args:
        sessions: a number of them, a JSON file of the classes of each, or lists of classes.
        method: name of the method, for reports.
        test: held-out examples that are asked after each session; some may be of no session. None for nothing.

    Attributes:
        groups: the classes of each session, once they are known.
        courses: figures by the name of the way to learn.

    Raises:
        UsageError: where the sessions are none, or there is one only.
    """

    def __init__(self, sessions: SessionsLike, method: str, test: Sequence[Example] | None = None) -> None:
        self.sessions, self.method, self.test = given_sessions(sessions), method, test
        self.groups: tuple[tuple[str, ...], ...] = ()
        self.courses: dict[str, Course] = {}
        self.exam: Exam | None = None

    def check(self, settings: Settings, names: Sequence[str]) -> None:
        """Settle the classes of each session before anything is learnt.

        Args:
            settings: of the method.
            names: of the classes of the examples, in the order in which they first come.

        Raises:
            UsageError: where the method knows no sessions, the sessions do not fit the classes, or no held-out example
                is of one of them.
        """
        if settings.sessions is None:
            raise UsageError(
                f"{self.method} learns all classes at once and knows no sessions; leave --sessions out, or take one of "
                f"{', '.join(with_sessions())}"
            )
        self.groups = sessions_of(self.sessions, names)
        taught = {normalised(name) for name in names}
        if self.test is not None and not any(normalised(one.name) in taught for one in self.test):
            raise UsageError(
                "no held-out example is of a class of the sessions; give some of "
                f"{shortened(', '.join(names), 80)} to --test"
            )

    def learn(
        self,
        model: TunedCLIP,
        embedder: RegionEmbedder,
        before: RegionEmbedder,
        shown: Sequence[Shown],
        names: Sequence[str],
        show: Callable[[Sequence[Example]], Sequence[Shown]],
        facts: Mapping[str, Any],
        folder: Path | None = None,
        resume: bool = False,
        amp: bool = False,
    ) -> None:
        """Tune in sessions, and measure what stands beside it.

        Args:
            model: what is tuned.
            embedder: of its encoder.
            before: of the encoder as it was.
            shown: the examples, image by image.
            names: class of each.
            show: shows held-out examples.
            facts: what decides the result beside settings: JSON values only.
            folder: where what was learnt after each session is kept; None for nowhere.
            resume: go on behind the last session that is kept there.
            amp: compute in bfloat16 where that is safe.

        Raises:
            UsageError: where a session has no example, or what is kept is of another run.
        """
        lessons = lessons_of(names, self.groups, lambda places: of_numbers(shown, places))
        ways: dict[str, Learner] = {self.method: TunedLearner(model, embedder, before, amp)}
        if self.test is not None:
            asked = [one.name for one in self.test], [one.caption for one in self.test]
            self.exam = Exam(show(self.test), *asked, self.groups)
            plain = plain_settings(model.settings)
            if plain.facts != model.settings.facts:
                ways[PLAIN] = TunedLearner.of(before, plain, model.templates, model.seed)
            ways[GAUSSIAN] = IncrementalGDA(before, model.templates)
        exam = self.exam
        about = {**facts, "exam": None if exam is None else [*exam.names, *exam.captions]}
        with tqdm(total=len(ways) * len(lessons), desc="sessions", delay=2, disable=None) as bar:
            for number, (name, way) in enumerate(ways.items()):
                own = None if folder is None else folder / str(number)
                course = run_course(way, lessons, exam, own, resume, {**about, "way": name}, lambda *_: bar.update())
                if course is not None:
                    self.courses[name] = course

    def as_dict(self, model: str) -> dict[str, Any]:
        """Values for a JSON file.

        Args:
            model: name of the model.
        """
        return {
            "format": "densevl sessions 1",
            "method": self.method,
            "model": model,
            "sessions": [list(group) for group in self.groups],
            "held_out": None if self.exam is None else len(self.exam.names),
            "never_seen": [] if self.exam is None else list(self.exam.never_seen),
            "ways": {name: course.as_dict() for name, course in self.courses.items()},
        }

    def lines(self) -> list[str]:
        """The figures, for people."""
        sizes = ", ".join(str(len(group)) for group in self.groups)
        lines = [f"{len(self.groups)} sessions of {sizes} classes"]
        for name, course in self.courses.items():
            lines += course.lines(name)
        return lines if self.courses else [*lines, "  nothing was asked after them: give held-out examples with --test"]

    def picture(self) -> UInt8[np.ndarray, "H W 3"]:
        """Small charts of the figures after each session."""
        panels: dict[str, dict[str, list[tuple[int, float]]]] = {}
        for name, course in self.courses.items():
            for number, scores in enumerate(course.scores, 1):
                for figure, value in scores.row.items():
                    panels.setdefault(figure, {}).setdefault(name, []).append((number, 100 * value))
        return draw_panels(panels, f"{len(self.groups)} sessions", "after session", "percent right", 100)


def plain_settings(settings: Settings) -> Settings:
    """The same numbers tuned for the classes alone: nothing is kept near what it was."""
    return replace(settings, losses=({"type": "cross-entropy"},), sessions={})
