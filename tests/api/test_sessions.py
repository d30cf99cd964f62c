"""A run of sessions: the method beside plain tuning and Gaussian classes, figures, lines and charts."""

import json

import pytest
from toys.clip import tiny_clip
from toys.sessions import NAMES, SESSIONS, colour_images

from densevl.api.sessions import GAUSSIAN, PLAIN, SessionRun, plain_settings
from densevl.core.errors import UsageError
from densevl.core.regions import Regions
from densevl.datasets.examples import Example
from densevl.regions.embedders.marked_images import MarkedImages
from densevl.training.tuning.continual.learners import TunedLearner
from densevl.training.tuning.looks import Shown
from densevl.training.tuning.methods import Settings, method_settings, methods, with_sessions

QUICK = Settings(
    tunables=({"type": "norms"},),
    losses=({"type": "masked-cross-entropy"},),
    optimizer={"type": "AdamW", "lr": 0.02},
    batch=4,
    steps=2,
    crop=None,
    flip=False,
    sessions={},
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return colour_images(tmp_path_factory.mktemp("colours"))


def shown_of(examples):
    return [Shown(one.image, Regions.whole((24, 24)), [number]) for number, one in enumerate(examples)]


@pytest.fixture(scope="module")
def run(files, tmp_path_factory):
    """Sessions that were learnt, with a class of none of them among the held-out examples."""
    examples = [Example(file, name) for file, name in zip(files, NAMES, strict=True)]
    test = [*examples, Example(files[0], "grey", caption="something grey"), Example(files[4], "pink")]
    made = SessionRun(2, "quick", test)
    made.check(QUICK, ("red", "blue", "green", "white"))
    before = MarkedImages(tiny_clip(), ["crop"], size=24)
    learner = TunedLearner.of(before, QUICK)
    folder = tmp_path_factory.mktemp("kept")
    made.learn(learner.model, learner.embedder, before, shown_of(examples), NAMES, shown_of, {}, folder)
    assert sorted(path.name for path in folder.iterdir()) == ["0", "1", "2"]
    return made


def test_each_method_is_measured_beside_plain_tuning_and_gaussian_classes(run):
    assert run.groups == SESSIONS
    assert list(run.courses) == ["quick", PLAIN, GAUSSIAN]
    values = json.loads(json.dumps(run.as_dict("tiny"), allow_nan=False))
    assert values["never_seen"] == ["grey", "pink"]
    assert values["held_out"] == 18
    assert [len(way["sessions"]) for way in values["ways"].values()] == [2, 2, 2]
    last = values["ways"]["quick"]["sessions"][-1]
    assert last["counts"] == [8, 8]
    assert last["never_seen"] is not None
    assert last["image_to_text"] == 1.0  # one example has a caption, and finds it


def test_figures_become_lines_and_charts(run):
    lines = run.lines()
    assert lines[0] == "2 sessions of 2, 2 classes"
    assert sum(line.startswith("  after session") for line in lines) == 6
    assert run.picture().ndim == 3


def test_without_held_out_examples_nothing_is_measured():
    made = SessionRun(2, "quick")
    made.check(QUICK, ("red", "blue"))
    assert "give held-out examples with --test" in made.lines()[-1]


def test_plain_tuning_changes_the_losses_alone():
    settings = method_settings("cpe-clip", "mini")
    plain = plain_settings(settings)
    assert [one["type"] for one in plain.losses] == ["cross-entropy"]
    assert plain.tunables == settings.tunables
    assert plain.optimizer == settings.optimizer
    assert plain.sessions == {}


def test_what_cannot_be_learnt_in_sessions_is_refused_before_anything_is_loaded(files):
    run = SessionRun(2, "clip-svd")
    with pytest.raises(UsageError, match=r"clip-svd learns all classes at once.*cpe-clip, mod-x, plain, vr-lwf"):
        run.check(method_settings("clip-svd"), ("red", "blue"))
    strange = SessionRun(2, "plain", [Example(files[0], "grey")])
    with pytest.raises(UsageError, match="no held-out example is of a class of the sessions"):
        strange.check(method_settings("plain"), ("red", "blue"))


def test_methods_that_know_sessions_have_settings_for_the_mini_models():
    assert set(with_sessions()) >= {"cpe-clip", "mod-x", "plain", "vr-lwf"}
    for name in with_sessions():
        assert method_settings(name, "mini").sessions is not None
        assert methods()[name]["equation"]
