"""The table of sessions: its objects, plain tuning at equal accuracy on new classes, and figures that are kept."""

from math import isnan

import pytest

from densevl.benchmarks.tables.continual import (
    NEVER,
    SESSIONS,
    course_of,
    drop_at,
    embedder_of_crops,
    things,
)
from densevl.datasets.scenes.scene import NEW_COLOURS
from densevl.training.tuning.continual.exam import Exam


def test_plain_tuning_is_read_off_its_line():
    line = [(0.8, 0.7), (0.3, 0.1), (0.5, 0.2)]
    assert drop_at(0.4, line) == pytest.approx(0.15)
    assert drop_at(0.65, line) == pytest.approx(0.45)
    assert isnan(drop_at(0.9, line))
    assert isnan(drop_at(0.2, line))


def test_figures_are_kept_and_read_again(tmp_path, monkeypatch):
    taught, asked = things(420, 4, tmp_path), things(421, 3, tmp_path)
    assert len(SESSIONS) == 5
    assert {name.split()[0] for name in asked.names} & {*NEW_COLOURS}
    assert all(not text for name, text in zip(asked.names, asked.texts, strict=True) if name.split()[0] in NEW_COLOURS)
    assert sum(len(one.numbers) for one in asked.shown) == len(asked.names)
    present = tuple(tuple(name for name in group if name in taught.names) for group in SESSIONS)
    monkeypatch.setattr("densevl.benchmarks.tables.continual.SESSIONS", tuple(filter(None, present)))
    exam = Exam(asked.shown, asked.names, asked.texts, tuple(filter(None, present)))
    assert set(exam.never_seen) >= {name for name in asked.names if name.split()[0] in NEVER}
    embedder, kept = embedder_of_crops(), tmp_path / "kept"
    course = course_of("text alone", 100, embedder, taught, exam, kept)
    (file,) = kept.iterdir()
    assert file.name.startswith("text-alone-100-")
    before = file.stat().st_mtime_ns
    assert course_of("text alone", 100, embedder, taught, exam, kept).as_dict() == course.as_dict()
    assert file.stat().st_mtime_ns == before
