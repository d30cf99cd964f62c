"""The log of a run: whole lines of JSON, however the run ends."""

import json
import os
from pathlib import Path

import pytest
from core.engine.workers import ShouterRecipe, Word

from densevl.core.engine import Engine
from densevl.core.engine.log import Log
from densevl.core.errors import OutputError

WORDS = [Word(name) for name in ("a", "b", "bad", "c")]


def events(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("workers", [1, 2])
def test_each_event_is_a_line(workers, tmp_path):
    path = tmp_path / "logs" / "run.jsonl"
    for _ in range(2):  # a second run adds to it
        list(Engine(workers, log=path).run(ShouterRecipe(), WORDS, 1))
    found = events(path)
    assert [one["event"] for one in found] == ["started", "done", "done", "failed", "done", "ended"] * 2
    started, *items, ended = found[:6]
    assert (started["items"], started["workers"], started["ray"]) == (4, workers, None)
    assert [one["place"] for one in items] == ["a", "b", "bad", "c"]
    assert items[2]["reason"] == "bad is bad"
    own = {int(one["worker"].rpartition(":")[2]) for one in items}
    assert (own == {os.getpid()}) == (workers == 1)
    assert all(one["took"]["make"] > 0 and one["took"]["write"] > 0 for one in items if one["event"] == "done")
    assert (ended["done"], ended["failed"], ended["reason"]) == (3, 1, None)
    assert ended["items_a_second"] == pytest.approx(4 / ended["seconds"], rel=0.2)
    assert sorted(one["time"] for one in found) == [one["time"] for one in found]


def test_the_end_says_why(tmp_path):
    path = tmp_path / "run.jsonl"
    with pytest.raises(OutputError):
        list(Engine(log=path).run(ShouterRecipe(), [*WORDS, Word("full")], 1))
    run = Engine(log=path).run(ShouterRecipe(), WORDS, 1)
    next(run)
    run.close()
    assert [one["reason"] for one in events(path) if one["event"] == "ended"] == [
        "the disk is full",
        "left by the program",
    ]


def test_a_log_that_cannot_be_written_ends_the_run(tmp_path):
    if os.path.exists("/dev/full"):
        with pytest.raises(OutputError, match="cannot write the log /dev/full: No space left on device"):
            list(Engine(log=Path("/dev/full")).run(ShouterRecipe(), WORDS, 1))
    with pytest.raises(OutputError, match="Is a directory"):
        Log(tmp_path)
