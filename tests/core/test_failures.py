"""Failures as values and as lines."""

import json
import pickle

import pytest

from densevl.core.errors import OutputError
from densevl.core.failures import FAILURES, Failure, add_failure


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
