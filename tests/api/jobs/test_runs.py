"""Runs over many files."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tqdm import tqdm

from densevl.api.jobs import runs
from densevl.api.jobs.runs import Run, fingerprint
from densevl.core.engine import HERE, Worker
from densevl.core.engine.pipeline import failure_reason
from densevl.core.errors import OutputError, UsageError
from densevl.core.failures import FAILURES, Failure
from densevl.core.files import InputFile, file_state


class Tens(Worker):
    """Ten times the colour of an image; twos are not liked. It notes what it makes together."""

    def __init__(self, batch):
        self.batch, self.calls = batch, []

    def read(self, item):
        return item.read()

    def make(self, items, read):
        self.calls.append([item.relative for item in items])
        if any(image[0, 0, 0] == 2 for image in read):
            raise UsageError("twos are not liked")
        return [int(image[0, 0, 0]) * 10 for image in read]

    def write(self, item, made):
        return made


def test_a_changed_file_has_another_state(tmp_path):
    path = tmp_path / "a"
    path.write_text("one")
    before = file_state(path)
    assert file_state(path) == before
    path.write_text("two!")
    assert file_state(path) != before
    assert file_state(tmp_path / "b") == ()


def test_reasons():
    assert failure_reason(UsageError("so it is")) == "so it is"
    assert "smaller" in failure_reason(MemoryError("full"))


@pytest.fixture
def inputs(tmp_path):
    """Five images of one colour each, the fourth of them no image."""
    for index in range(5):
        Image.fromarray(np.full((2, 3, 3), index, np.uint8)).save(tmp_path / f"{index}.png")
    (tmp_path / "3.png").write_text("no picture")
    return [InputFile(tmp_path / f"{index}.png", str(index)) for index in range(5)]


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_a_run_does_what_is_to_do_and_lists_what_fails(inputs, tmp_path, batch, capsys):
    out, worker = tmp_path / "out", Tens(batch)
    out.mkdir()
    (out / FAILURES).write_text("of a former run")
    run = Run(out, inputs, lambda item: item.relative == "0")
    assert not (out / FAILURES).exists()
    assert [item.relative for item in run.todo] == ["1", "2", "3", "4"]
    run.work(HERE, None, worker, "working")
    assert [(item.relative, made) for item, made in run.done] == [("1", 10), ("4", 40)]
    assert [item.relative for item in run.skipped] == ["0"]
    assert [Path(failure.name).name for failure in run.failures] == ["2.png", "3.png"]
    assert run.failures[0].reason == "twos are not liked"
    lines = [json.loads(line) for line in (out / FAILURES).read_text("utf-8").splitlines()]
    assert [Failure(**line) for line in lines] == run.failures
    assert all("3" not in names for names in worker.calls)
    assert run.counts("worked") == f"2 worked, 1 done before, 2 failed: {out}"
    assert run.report(run.counts("worked")) == 1
    printed = capsys.readouterr()
    assert printed.out == f"{run.counts('worked')}\n"
    assert "2.png: twos are not liked" in printed.err
    assert "2 failed; all are listed in" in printed.err


def test_a_run_without_failures_ends_with_zero(inputs, tmp_path, capsys):
    run = Run(tmp_path / "out", inputs[:1], lambda item: False)
    run.work(HERE, None, Tens(4), "working")
    assert run.report() == 0
    assert capsys.readouterr() == ("", "")
    assert not (tmp_path / "out").exists()


def test_few_of_many_failures_are_printed(tmp_path, capsys):
    run = Run(tmp_path, [], lambda item: False)
    run.fail(*(Failure(f"{i}.png", "broken") for i in range(30)))
    assert run.report("") == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("broken") == 10
    assert "30 failed" in printed.err
    assert len((tmp_path / FAILURES).read_text().splitlines()) == 30


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write to"):
        Run(tmp_path / "file", [], lambda item: False)


def test_bars_show_themselves_after_two_seconds(tmp_path, monkeypatch):
    class Bar(tqdm):
        def __init__(self, **settings):
            self.settings = settings
            super().__init__(**settings)

    monkeypatch.setattr(runs, "tqdm", Bar)
    with Run(tmp_path, [], lambda item: False).progress("working", 3) as bar:
        assert bar.settings.items() >= {"delay": 2, "total": 3, "desc": "working"}.items()


def test_fingerprints_tell_settings_apart():
    protocol = {"encoder": "a", "readout": {"type": "naclip", "sigma": 5.0}}
    assert fingerprint(protocol, ["cat"]) == fingerprint(dict(reversed(protocol.items())), ("cat",))
    others = [{**protocol, "readout": {"type": "naclip", "sigma": 4.0}}, {**protocol, "window": None}]
    assert len({fingerprint(one, ["cat"]) for one in [protocol, *others]} | {fingerprint(protocol, ["dog"])}) == 4
    with pytest.raises(UsageError, match="values that JSON knows"):
        fingerprint({"readout": object()})
