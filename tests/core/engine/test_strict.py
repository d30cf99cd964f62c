"""Work of which no part may be missing: the error of an item is the error of the run."""

import json

import pytest
from core.engine.workers import Shouter, ShouterRecipe, Word
from toys.sent import SentEngine

from densevl.core.engine import Engine, all_of
from densevl.core.errors import ImageError, OutputError, UsageError

ENGINES = pytest.mark.parametrize("engine", [Engine(), SentEngine()], ids=["here", "sent"])


@ENGINES
def test_what_is_said_comes_in_order(engine):
    said = all_of(engine, ShouterRecipe(), [Word(name) for name in ("a", "b", "c")], Shouter())
    assert list(said) == ["A", "B", "C"]


@ENGINES
@pytest.mark.parametrize(("word", "kind"), [("bad", ImageError), ("full", OutputError)])
def test_the_first_error_ends_it_and_keeps_its_kind(engine, word, kind):
    items = [Word(name) for name in ("a", "b", word, "c", "d", "e")]
    said = all_of(engine, ShouterRecipe(), items, Shouter())
    with pytest.raises(kind, match=word):
        list(said)


def test_the_log_counts_it_as_failed(tmp_path):
    engine = Engine(log=tmp_path / "run.jsonl")
    with pytest.raises(ImageError):
        list(all_of(engine, ShouterRecipe(), [Word("a"), Word("b"), Word("bad")], Shouter()))
    events = [json.loads(line) for line in engine.log.read_text().splitlines()]
    assert [one["event"] for one in events] == ["started", "done", "done", "failed", "ended"]
    assert events[3]["reason"] == "bad is bad"


def test_other_processes_need_a_recipe():
    with pytest.raises(UsageError, match="say how it was loaded"):
        list(all_of(SentEngine(), None, [Word("a")], Shouter()))
