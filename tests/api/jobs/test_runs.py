"""What runs over many files share."""

import json

import numpy as np
import pytest
from PIL import Image

from densevl.api.jobs.runs import FAILURES, failure_reason, file_state, note_failure, read_batches
from densevl.core.errors import OutputError, UsageError
from densevl.core.files import InputFile


@pytest.mark.parametrize("size", [1, 2, 3, 9])
def test_batches_hold_every_input_in_order(tmp_path, size):
    inputs = []
    for index in range(5):
        path = tmp_path / f"{index}.png"
        if index == 3:
            path.write_text("no picture")
        else:
            Image.fromarray(np.full((2, 3, 3), index, np.uint8)).save(path)
        inputs.append(InputFile(path, str(index)))
    batches = list(read_batches(inputs, size))
    assert [len(batch) for batch in batches] == [size] * (5 // size) + ([5 % size] if 5 % size else [])
    flat = [pair for batch in batches for pair in batch]
    assert [item for item, _ in flat] == inputs
    assert "3.png" in flat[3][1]
    assert [int(picture[0, 0, 0]) for index, (_, picture) in enumerate(flat) if index != 3] == [0, 1, 2, 4]
    assert list(read_batches([], size)) == []


def test_a_changed_file_has_another_state(tmp_path):
    path = tmp_path / "a"
    path.write_text("one")
    before = file_state(path)
    assert file_state(path) == before
    path.write_text("two!")
    assert file_state(path) != before


def test_failures_are_lines(tmp_path):
    for name in ("ä.png", "b.png"):
        note_failure(tmp_path / "out", tmp_path / name, "broken")
    lines = [json.loads(line) for line in (tmp_path / "out" / FAILURES).read_text("utf-8").splitlines()]
    assert lines == [{"file": str(tmp_path / name), "error": "broken"} for name in ("ä.png", "b.png")]
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        note_failure(tmp_path / "file", tmp_path / "a", "broken")


def test_reasons():
    assert failure_reason(UsageError("so it is")) == "so it is"
    assert "smaller" in failure_reason(MemoryError("full"))
