import os
import random
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from densevl.core.errors import OutputError, WeightsError
from densevl.training.checkpoints import (
    latest_checkpoint,
    random_state,
    read_checkpoint,
    restore_history,
    set_random_state,
    without_objects,
    write_checkpoint,
)


class Malicious:
    """Would leave a file behind if it were unpickled."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def test_round_trip_needs_no_allow_list(tmp_path):
    history = HistoryBuffer([1.0, 2.5], [1, 2])
    values = {
        "a": np.float64(2.5),
        "b": np.arange(3),
        "c": (1, "x", None, True),
        "d": [torch.ones(2, dtype=torch.bfloat16)],
        "e": OrderedDict(x=Path("p")),
        "message_hub": {"log_scalars": {"loss": history}, "runtime_info": {}, "resumed_keys": {}},
    }
    write_checkpoint(tmp_path / "a.pth", values)
    assert torch.serialization.get_unsafe_globals_in_checkpoint(tmp_path / "a.pth") == []
    read = read_checkpoint(tmp_path / "a.pth")
    assert read["a"] == 2.5
    assert type(read["a"]) is float
    assert read["b"].tolist() == [0, 1, 2]
    assert read["c"] == (1, "x", None, True)
    assert read["d"][0].dtype == torch.bfloat16
    assert read["e"] == {"x": "p"}
    restored = restore_history(read["message_hub"])["log_scalars"]["loss"]
    assert restored.mean() == history.mean()
    restored.update(4.0)
    assert restored.data[0].tolist() == [1.0, 2.5, 4.0]


@pytest.mark.parametrize("through_file", [False, True])
def test_random_state(tmp_path, through_file):
    def draw() -> tuple[float, float, float]:
        return random.random(), np.random.rand(), torch.rand(()).item()  # noqa: NPY002

    draw()
    state = random_state()
    expected = draw(), draw()
    if through_file:
        write_checkpoint(tmp_path / "a.pth", {"state": state})
        state = read_checkpoint(tmp_path / "a.pth")["state"]
    set_random_state(state)
    assert (draw(), draw()) == expected


def test_an_object_is_named_by_its_place():
    with pytest.raises(OutputError, match=r"checkpoint.meta.things\[1\] is a object"):
        without_objects({"meta": {"things": [1, object()]}})


def test_a_pickle_is_not_executed(tmp_path):
    torch.save({"state_dict": Malicious(tmp_path / "ran")}, tmp_path / "bad.pth")
    with pytest.raises(WeightsError, match="could run code"):
        read_checkpoint(tmp_path / "bad.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"text, not weights", b"PK\x03\x04 cut"])
def test_damaged(tmp_path, content):
    path = tmp_path / "bad.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"bad\.pth"):
        read_checkpoint(path)


def test_truncated(tmp_path):
    write_checkpoint(tmp_path / "a.pth", {"x": torch.rand(1000)})
    whole = (tmp_path / "a.pth").read_bytes()
    (tmp_path / "a.pth").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match=r"truncated|damaged"):
        read_checkpoint(tmp_path / "a.pth")


def test_missing_and_wrong_kind(tmp_path):
    with pytest.raises(WeightsError, match="does not exist"):
        read_checkpoint(tmp_path / "none.pth")
    torch.save([1], tmp_path / "list.pth")
    with pytest.raises(WeightsError, match="expected a dictionary"):
        read_checkpoint(tmp_path / "list.pth")


def test_latest(tmp_path):
    assert latest_checkpoint(tmp_path) is None
    (tmp_path / "last_checkpoint").write_text("/gone/iter_3.pth")
    assert latest_checkpoint(tmp_path) == Path("/gone/iter_3.pth")
    (tmp_path / "iter_3.pth").touch()
    assert latest_checkpoint(tmp_path) == tmp_path / "iter_3.pth"
