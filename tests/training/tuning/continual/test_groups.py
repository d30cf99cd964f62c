"""Groups of classes that come together."""

import json

import pytest

from densevl.core.errors import UsageError
from densevl.training.tuning.continual.groups import given_sessions, sessions_of

NAMES = ("red circle", "red star", "blue ring", "blue star", "green ring")


@pytest.mark.parametrize(
    ("count", "sizes"), [(2, [3, 2]), (3, [2, 2, 1]), (5, [1, 1, 1, 1, 1])], ids=["two", "three", "five"]
)
def test_a_number_cuts_the_classes_in_their_order(count, sizes):
    found = sessions_of(given_sessions(str(count)), NAMES)
    assert [len(group) for group in found] == sizes
    assert sum(found, ()) == NAMES


def test_a_file_names_them_in_any_writing(tmp_path):
    file = tmp_path / "sessions.json"
    file.write_text(json.dumps([["Red Circle", "blue  ring"], ["red star", "green ring", "blue star"]]))
    for given in (str(file), file, json.loads(file.read_text())):
        found = sessions_of(given_sessions(given), NAMES)
        assert found == (("red circle", "blue ring"), ("red star", "green ring", "blue star"))


@pytest.mark.parametrize(
    ("sessions", "says"),
    [
        (1, "two sessions or more.*got 1"),
        ("0", "two sessions or more"),
        ("-3", "two sessions or more"),
        ([list(NAMES)], "two sessions or more.*got 1"),
        ([], "two sessions or more"),
        ("nowhere.json", "no file nowhere.json"),
        ([["red circle"], []], "session 2 has no classes"),
    ],
)
def test_what_is_no_list_of_sessions_is_refused(sessions, says):
    with pytest.raises(UsageError, match=says):
        given_sessions(sessions)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"a": 1}, "holds no sessions"),
        (["red circle", "red star"], "holds no sessions"),
        ([["red circle"], [3]], "session 2: a class has a name; got 3"),
    ],
)
def test_a_file_of_something_else_is_refused(content, says, tmp_path):
    file = tmp_path / "sessions.json"
    file.write_text(json.dumps(content))
    with pytest.raises(UsageError, match=says):
        given_sessions(file)


@pytest.mark.parametrize(
    ("sessions", "says"),
    [
        (6, "5 classes cannot be cut into 6 sessions"),
        ([["red circle", "red star", "blue ring"], ["Red Star", "blue star", "green ring"]], "session 1 and in sess"),
        ([list(NAMES), ["purple hat", "pink hat"]], "session 2 has no examples"),
        ([list(NAMES[:2]), [*NAMES[2:], "pink hat"]], "session 2 has no example of 'pink hat'"),
        ([list(NAMES[:2]), list(NAMES[2:4])], "also of green ring, in no session"),
    ],
)
def test_sessions_that_do_not_fit_the_examples_are_refused(sessions, says):
    with pytest.raises(UsageError, match=says):
        sessions_of(sessions, NAMES)
