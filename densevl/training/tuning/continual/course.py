"""A course: sessions one after the other, each learnt, asked about and kept, so that it goes on where it stopped."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors
from mmengine.dist import is_main_process
from torch import Tensor

from densevl.core.errors import UsageError, WeightsError
from densevl.core.files import atomic_write, parse_json
from densevl.core.tensor_bytes import tensor_bytes
from densevl.metrics.sessions import Course, SessionScores
from densevl.training.tuning.continual.exam import Exam
from densevl.training.tuning.continual.learners import Learner, Lesson

__all__ = ["lessons_of", "run_course"]

DAMAGED = (safetensors.SafetensorError, KeyError, ValueError, TypeError, OSError, RuntimeError, AttributeError)


def lessons_of(
    names: Sequence[str], sessions: Sequence[Sequence[str]], show: Callable[[Sequence[int]], Sequence[Any]]
) -> list[Lesson]:
    """The lessons of sessions.

    Args:
        names: class of each example.
        sessions: the classes of each, written as the examples write them.
        show: shows some of the examples, numbered anew in their order.

    Raises:
        UsageError: where a session has no examples.
    """
    lessons: list[Lesson] = []
    for number, group in enumerate(sessions, 1):
        chosen = [place for place, name in enumerate(names) if name in group]
        if not chosen:
            raise UsageError(f"session {number} has no examples: nothing is of {', '.join(group)}; give some")
        old = lessons[-1].names if lessons else ()
        every = (*old, *group)
        labels = [every.index(names[place]) for place in chosen]
        lessons.append(Lesson(show(chosen), labels, every, len(old)))
    return lessons


def run_course(
    learner: Learner,
    lessons: Sequence[Lesson],
    exam: Exam | None,
    folder: Path | None = None,
    resume: bool = False,
    facts: Mapping[str, Any] | None = None,
    told: Callable[[int, SessionScores | None], None] | None = None,
) -> Course | None:
    """Learn session by session.

    Args:
        learner: who learns.
        lessons: what the sessions bring.
        exam: what is asked after each; None for nothing.
        folder: where what was learnt after each session is kept; None for nowhere.
        resume: go on behind the last session that is kept there.
        facts: what decides the result beside the settings of the learner: JSON values only.
        told: is told of each session and what was right after it.

    Returns:
        The figures after each session; None where nothing is asked.

    Raises:
        UsageError: where what is kept is of another run.
        WeightsError: where it is damaged.
        OutputError: where nothing can be kept there.
    """
    own = {"settings": dict(learner.settings), "names": [list(one.names) for one in lessons], **(facts or {})}
    identity = hashlib.sha256(json.dumps(own, sort_keys=True, default=str).encode()).hexdigest()[:12]
    paper = None if exam is None else exam.paper(learner)
    found: list[SessionScores | None] = []
    kept = _kept(folder, identity, len(lessons)) if folder is not None and resume else []
    if kept:
        learner.restore(lessons[len(kept) - 1], kept[-1][1])
        found = [scores for scores, _ in kept]
        if exam is not None and None in found:
            raise UsageError(f"the sessions kept in {folder} were asked about nothing; start anew, without --resume")
    for number in range(len(found), len(lessons)):
        learner.learn(lessons[number])
        found.append(None if paper is None else paper.scores(number))
        if folder is not None and is_main_process():
            _keep(_file(folder, number), identity, found[-1], learner.state())
        if told is not None:
            told(number, found[-1])
    scores = [one for one in found if one is not None]
    return Course(scores) if scores else None


def _file(folder: Path, number: int) -> Path:
    return folder / f"session-{number + 1}.safetensors"


def _keep(path: Path, identity: str, scores: SessionScores | None, state: Mapping[str, Tensor]) -> None:
    """Write what was learnt and the figures, whole or not at all."""
    texts = {"course": identity, "scores": json.dumps(None if scores is None else scores.as_dict())}
    content = tensor_bytes({name: value.contiguous().cpu() for name, value in state.items()}, texts)
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def _kept(folder: Path, identity: str, count: int) -> list[tuple[SessionScores | None, dict[str, Tensor]]]:
    """What is kept of the first sessions.

    Raises:
        UsageError: where it is of another run.
        WeightsError: where it is damaged.
    """
    found: list[tuple[SessionScores | None, dict[str, Tensor]]] = []
    for number in range(count):
        path = _file(folder, number)
        if not path.is_file():
            break
        try:
            with safetensors.safe_open(path, "pt") as file:
                texts = dict(file.metadata() or {})
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no dict)
            said = parse_json(texts["scores"])
            scores = None if said is None else SessionScores.from_dict(said)
            other = texts["course"] != identity
        except DAMAGED as error:
            raise WeightsError(f"{path} is damaged ({type(error).__name__}); delete it and resume again") from None
        if other:
            raise UsageError(
                f"{path} was learnt with other examples, sessions or settings; start anew without --resume, or in "
                "another folder"
            )
        found.append((scores, state))
    return found
