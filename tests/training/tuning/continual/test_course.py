"""Courses of sessions on a CLIP of a few thousand weights: what is learnt, measured, kept and resumed."""

from dataclasses import replace

import pytest
import torch
from toys.clip import tiny_clip
from toys.sessions import NAMES, SESSIONS, colour_images

from densevl.core.errors import UsageError, WeightsError
from densevl.core.regions import Regions
from densevl.regions.embedders.marked_images import MarkedImages
from densevl.training.tuning.continual.course import lessons_of, run_course
from densevl.training.tuning.continual.exam import Exam
from densevl.training.tuning.continual.learners import IncrementalGDA, TunedLearner, scaled_gradients
from densevl.training.tuning.looks import Shown
from densevl.training.tuning.methods import Settings

PLAIN = Settings(
    tunables=({"type": "norms"},),
    optimizer={"type": "AdamW", "lr": 0.02},
    batch=4,
    steps=3,
    crop=None,
    flip=False,
    sessions={},
)
VR = replace(PLAIN, losses=({"type": "cross-entropy"}, {"type": "vr-lwf", "strings": 8, "length": 3}))
MOD_X = replace(PLAIN, losses=({"type": "info-nce"}, {"type": "mod-x"}))
CPE = replace(PLAIN, losses=({"type": "masked-cross-entropy"},), sessions={"scaled": ["visual/"]})


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    files = colour_images(tmp_path_factory.mktemp("colours"))
    return [Shown(file, Regions.whole((24, 24)), [number]) for number, file in enumerate(files)]


@pytest.fixture
def embedder():
    return MarkedImages(tiny_clip(), ["crop"], size=24)


@pytest.fixture
def lessons(shown):
    return lessons_of(NAMES, SESSIONS, lambda chosen: [replace(shown[n], numbers=[i]) for i, n in enumerate(chosen)])


@pytest.fixture
def exam(shown):
    return Exam(shown, NAMES, [""] * len(NAMES), SESSIONS)


def test_lessons_bring_their_classes_behind_the_earlier_ones(lessons):
    assert [one.names for one in lessons] == [("red", "blue"), ("red", "blue", "green", "white")]
    assert [one.old for one in lessons] == [0, 2]
    assert lessons[1].labels == [2, 2, 2, 2, 3, 3, 3, 3]
    assert [one.numbers[0] for one in lessons[1].shown] == list(range(8))
    with pytest.raises(UsageError, match="session 2 has no examples: nothing is of pink"):
        lessons_of(NAMES, (("red",), ("pink",)), lambda chosen: [])


def test_gaussian_classes_add_up_exactly(embedder, lessons, shown):
    learner, second = IncrementalGDA(embedder), IncrementalGDA(embedder)
    learner.learn(lessons[0])
    first = learner.sums
    learner.learn(lessons[1])
    second.learn(lessons[1])
    assert learner.sums.counts.tolist() == pytest.approx([4.0] * 4)
    torch.testing.assert_close(learner.sums.totals, first.placed(range(2), 4).totals + second.sums.totals)
    torch.testing.assert_close(learner.sums.squares, first.squares + second.sums.squares)
    vectors = learner.vectors(learner.looks(shown))
    assert learner.logits(vectors, ("white", "pink", "red")).shape == (len(NAMES), 3)


@pytest.mark.parametrize("settings", [PLAIN, VR, MOD_X, CPE], ids=["plain", "vr-lwf", "mod-x", "cpe"])
def test_a_course_that_was_stopped_ends_as_one_that_was_not(settings, embedder, lessons, exam, tmp_path):
    whole = TunedLearner.of(embedder, settings)
    course = run_course(whole, lessons, exam, tmp_path / "whole")
    assert course.scores[0].counts == (8,)
    before = TunedLearner.of(embedder, settings).state()
    assert any(not torch.equal(value, before[name]) for name, value in whole.state().items())

    stopped = TunedLearner.of(embedder, settings)

    def stop(session, scores):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_course(stopped, lessons, exam, tmp_path / "stopped", told=stop)
    again = TunedLearner.of(embedder, settings)
    resumed = run_course(again, lessons, exam, tmp_path / "stopped", resume=True)
    assert resumed.as_dict() == course.as_dict()
    for name, value in whole.state().items():
        assert torch.equal(again.state()[name], value)


def test_what_is_kept_of_another_run_or_damaged_is_refused(embedder, lessons, exam, tmp_path):
    run_course(IncrementalGDA(embedder), lessons, exam, tmp_path)
    with pytest.raises(UsageError, match="with other examples, sessions or settings"):
        run_course(IncrementalGDA(embedder), lessons, exam, tmp_path, resume=True, facts={"examples": "others"})
    (tmp_path / "session-2.safetensors").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match=r"session-2.safetensors is damaged"):
        run_course(IncrementalGDA(embedder), lessons, exam, tmp_path, resume=True)
    (tmp_path / "session-2.safetensors").unlink()
    assert run_course(IncrementalGDA(embedder), lessons, exam, tmp_path, resume=True).scores[-1].counts == (8, 8)


def test_without_an_exam_nothing_is_measured(embedder, lessons):
    assert run_course(IncrementalGDA(embedder), lessons, None) is None


def test_the_exam_knows_classes_of_no_session_and_takes_names_for_captions(shown):
    names = [*NAMES[:12], "Pink", "pink", "grey", "Red"]
    exam = Exam(shown, names, [""] * 16, SESSIONS)
    assert exam.never_seen == ("Pink", "grey")
    assert exam.texts()[15] == "Red"
    said = Exam(shown, names, ["", "a red square", *[""] * 14], SESSIONS)
    assert said.texts() == {1: "a red square"}


def test_gradients_are_scaled_while_the_session_lasts():
    module = torch.nn.Linear(2, 2)
    with scaled_gradients([module], ["weight"], 0.25):
        module(torch.ones(1, 2)).sum().backward()
    assert torch.equal(module.weight.grad, torch.full((2, 2), 0.25))
    assert torch.equal(module.bias.grad, torch.ones(2))
    module.zero_grad()
    module(torch.ones(1, 2)).sum().backward()
    assert torch.equal(module.weight.grad, torch.ones(2, 2))
