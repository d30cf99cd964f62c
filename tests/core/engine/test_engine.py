"""Work here and in processes: the same outcomes in the same order, and what dies or fails stops nothing else."""

import threading

import pytest
from core.engine.workers import Shouter, ShouterRecipe, Word

from densevl.core.engine import Engine, Pipeline
from densevl.core.errors import OutputError, UsageError

WORDS = [Word(name) for name in ("a", "b", "c", "bad", "d", "e", "f")]


def test_an_item_that_fails_stops_no_other_and_the_order_stays():
    found = list(Engine().run(ShouterRecipe(), WORDS, 2))
    assert [outcome.item for outcome in found] == WORDS
    assert [outcome.said for outcome in found] == ["A", "B", "C", None, "D", "E", "F"]
    assert found[3].failure == ("bad", "bad is bad")


def test_a_full_disk_ends_the_run():
    with pytest.raises(OutputError, match="the disk is full"):
        list(Engine().run(ShouterRecipe(), [*WORDS, Word("full")], 2))


def test_the_steps_overlap():
    """The next item is read, and the last one written, while one is made: each step waits for the other two."""
    meeting = threading.Barrier(3, timeout=20)

    class Meeting(Shouter):
        batch = 1

        def read(self, item):
            if item.place == "c":
                meeting.wait()
            return item.place

        def make(self, items, read):
            if items[0].place == "b":
                meeting.wait()
            return list(read)

        def write(self, item, made):
            if item.place == "a":
                meeting.wait()
            return made

    assert [one.said for one in Pipeline().run(Meeting(), [Word("a"), Word("b"), Word("c")])] == ["a", "b", "c"]


def test_no_more_is_read_than_the_pipeline_holds():
    """Memory does not grow with the number of items."""
    taken = []

    def items():
        for number in range(1000):
            taken.append(number)
            yield Word(str(number))

    run = Pipeline(ahead=2, behind=4).run(Shouter(), items())
    next(run)
    assert len(taken) <= 20
    run.close()


def test_processes_give_what_one_gives_and_survive_deaths():
    here = list(Engine().run(ShouterRecipe(), WORDS, 2))
    found = list(Engine(workers=2).run(ShouterRecipe(), [*WORDS[:2], Word("kill"), *WORDS[2:]], 2))
    assert [one for one in found if one.item.place != "kill"] == here
    (dead,) = [one for one in found if one.item.place == "kill"]
    assert "died 2 times" in dead.failure.reason


def test_numbers_below_one_are_refused():
    with pytest.raises(UsageError, match="at least 1"):
        Engine(workers=0)
