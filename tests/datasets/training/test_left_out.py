"""The account of what is left out."""

import json

import pytest

from densevl.core.errors import OutputError
from densevl.datasets.training import left_out
from densevl.datasets.training.left_out import LeftOut


def test_everything_is_listed_once_and_told_of_within_reason(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(left_out, "print_log", lambda text, *rest: told.append(text))
    account = LeftOut("a folder", tmp_path / "f" / "failures.jsonl")
    for i in range(345):
        account.add(f"picture {i}", f"reason {i}")
        account.add(f"picture {i}", "again")
    assert len(account) == 345
    lines = [json.loads(line) for line in (tmp_path / "f" / "failures.jsonl").read_text().splitlines()]
    assert lines == [{"name": f"picture {i}", "reason": f"reason {i}"} for i in range(345)]
    counts = [int(text.split("number ")[1].split(" ")[0]) for text in told]
    assert counts == [*range(1, 21), *range(30, 100, 10), 100, 200, 300]
    assert "left out of a folder" in told[0]
    assert "reason 0" in told[0]


def test_a_file_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot add to"):
        LeftOut("x", tmp_path / "file" / "failures.jsonl").add("a", "b")
