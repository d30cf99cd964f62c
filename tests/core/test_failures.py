"""Failures as values and as lines."""

import json
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest

from densevl.core.errors import OutputError
from densevl.core.failures import FAILURES, Failure, FailureList, add_failure


def test_failures_are_pairs_that_travel():
    failure = Failure("a.png", "it is empty")
    name, reason = pickle.loads(pickle.dumps(failure))
    assert (name, reason) == failure == ("a.png", "it is empty")


def test_failures_are_lines(tmp_path):
    add_failure(tmp_path / "out" / FAILURES)
    assert not (tmp_path / "out").exists()
    for names in (("ä.png",), ("b.png", "c.png")):
        add_failure(tmp_path / "out" / FAILURES, *(Failure(name, "two\nlines") for name in names))
    text = (tmp_path / "out" / FAILURES).read_text("utf-8")
    assert "ä" in text
    assert [json.loads(line) for line in text.splitlines()] == [
        {"name": name, "reason": "two\nlines"} for name in ("ä.png", "b.png", "c.png")
    ]
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot add to"):
        add_failure(tmp_path / "file" / FAILURES, Failure("a", "broken"))


def test_a_list_grows_is_forgotten_and_vanishes(tmp_path):
    listed = FailureList(tmp_path / "out")
    listed.forget(lambda name: True)
    assert listed.read() == []
    assert not (tmp_path / "out").exists()
    listed.add(Failure("b", "broken"), Failure("a", "empty"))
    listed.add(Failure("b", "broken still"))
    listed.forget({"c"}.__contains__)
    assert [failure.name for failure in listed.read()] == ["b", "a", "b"]
    listed.replace(listed.read())
    assert listed.read() == [Failure("a", "empty"), Failure("b", "broken still")]
    listed.forget({"a"}.__contains__)
    assert listed.read() == [Failure("b", "broken still")]
    listed.path.open("a").write('{"name": "cut off by a k')
    assert listed.read() == [Failure("b", "broken still")]
    listed.forget(lambda name: True)
    assert not listed.path.exists()


def test_processes_that_change_a_list_at_once_lose_nothing(tmp_path):
    def work(number):
        for i in range(20):
            FailureList(tmp_path).add(Failure(f"{number}/{i}", "broken"))
            FailureList(tmp_path).forget({f"{number}/{i - 1}"}.__contains__ if i % 2 else {"none"}.__contains__)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert sorted(failure.name for failure in FailureList(tmp_path).read()) == sorted(
        f"{number}/{i}" for number in range(4) for i in range(1, 20, 2)
    )
