"""Reading files of weights: real files of every kind that users have, good and bad."""

import io
import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from densevl.core.errors import WeightsError
from densevl.weights import check_state_dict, load_state_dict

STATE = {"visual.proj": torch.arange(12.0).reshape(3, 4), "ln.weight": torch.ones(5, dtype=torch.bfloat16)}


def same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    return found.keys() == expected.keys() and all(
        found[name].dtype == tensor.dtype and torch.equal(found[name], tensor) for name, tensor in expected.items()
    )


def test_safetensors(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "w.safetensors")
    assert same(load_state_dict(tmp_path / "w.safetensors"), STATE)
    assert same(load_state_dict(str((tmp_path / "w.safetensors").rename(tmp_path / "w.ckpt"))), STATE)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("key", [None, "state_dict", "model_state_dict", "model"])
def test_torch_files(tmp_path: Path, zipped: bool, key: str | None) -> None:
    content = STATE if key is None else {"epoch": 3, key: STATE, "optimizer": {"lr": [1e-3]}}
    torch.save(content, tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
    assert same(load_state_dict(tmp_path / "w.pt"), STATE)


def test_a_header_whose_length_begins_like_a_pickle(tmp_path: Path) -> None:
    """A header of 0x80 bytes, or 0x280: the file then begins with the byte that begins every pickle."""
    header = b'{"weight":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
    for length in (0x80, 0x280):
        path = tmp_path / f"{length}.safetensors"
        path.write_bytes(length.to_bytes(8, "little") + header.ljust(length) + b"\0" * 8)
        assert path.read_bytes().startswith(b"\x80")
        assert set(load_state_dict(path)) == {"weight"}


def test_the_prefix_of_parallel_training_is_dropped(tmp_path: Path) -> None:
    torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in STATE.items()}}, tmp_path / "w.pt")
    assert same(load_state_dict(tmp_path / "w.pt"), STATE)
    torch.save({"module.a": torch.ones(1), "b": torch.ones(1)}, tmp_path / "w.pt")
    assert set(load_state_dict(tmp_path / "w.pt")) == {"module.a", "b"}


def test_parameters_come_back_as_plain_tensors(tmp_path: Path) -> None:
    torch.save(dict(torch.nn.Linear(2, 3).named_parameters()), tmp_path / "w.pt")
    assert not any(tensor.requires_grad for tensor in load_state_dict(tmp_path / "w.pt").values())


class Trap:
    """What a poisoned checkpoint holds: unpickling it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("kind", ["zip", "legacy", "pickle"])
def test_a_pickle_that_would_run_code_is_not_run(tmp_path: Path, kind: str) -> None:
    path, sprung = tmp_path / "w.pt", tmp_path / "sprung"
    content = {"state_dict": {**STATE, "x": Trap(sprung)}}
    if kind == "pickle":
        path.write_bytes(pickle.dumps(content["state_dict"]["x"], protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind == "zip")
    with pytest.raises(WeightsError, match=r"might run code|holds more than tensors"):
        load_state_dict(path)
    assert not sprung.exists()
    if kind == "pickle":
        pickle.loads(path.read_bytes())
        assert sprung.exists(), "the trap is real"


def test_the_trap_in_a_torch_file_is_real(tmp_path: Path) -> None:
    torch.save({"x": Trap(tmp_path / "sprung")}, tmp_path / "w.pt")
    torch.load(tmp_path / "w.pt", weights_only=False)
    assert (tmp_path / "sprung").exists()


def test_whole_modules_are_refused(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"asks for torch\.nn\.modules\.linear\.Linear, which might run code"):
        load_state_dict(tmp_path / "w.pt")


def test_torchscript_programs_are_refused(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), tmp_path / "ViT-B-32.pt")
    with pytest.raises(WeightsError, match=r"TorchScript program.*open_clip_model\.safetensors"):
        load_state_dict(tmp_path / "ViT-B-32.pt")


def _torch_bytes(zipped: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save({f"layer{i}": torch.rand(50, 50) for i in range(4)}, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


@pytest.mark.parametrize("share", [0.001, 0.3, 0.9])
def test_truncated_files(tmp_path: Path, share: float) -> None:
    save_file({"a": torch.rand(100, 100)}, tmp_path / "whole")
    whole = {
        "w.safetensors": (tmp_path / "whole").read_bytes(),
        "zip.pt": _torch_bytes(True),
        "legacy.pt": _torch_bytes(False),
    }
    for name, content in whole.items():
        path = tmp_path / name
        path.write_bytes(content[: max(5, int(share * len(content)))])
        with pytest.raises(WeightsError, match=r"truncated or damaged|is damaged"):
            load_state_dict(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html>\n<html>Sign in</html>", "is a web page"),
        (b"\n <html><body>404</body></html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "Git LFS pointer.*git lfs pull"),
        (b"these are not weights, whatever the name says", "neither a safetensors file nor one of torch"),
        (b"PK\x03\x04 and then nothing of a zip file", "truncated or damaged"),
        (b"\x80\x02 and then nothing of a pickle", "is damaged"),
    ],
)
def test_what_is_no_file_of_weights(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "w.pt"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=message) as caught:
        load_state_dict(path)
    assert str(path) in str(caught.value)


def test_a_zip_of_other_things(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.pt", "w") as archive:
        archive.writestr("photo.txt", "hello")
    with pytest.raises(WeightsError, match="truncated or damaged"):
        load_state_dict(tmp_path / "w.pt")


def test_what_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.pt", tmp_path):
        with pytest.raises(WeightsError, match="does not exist"):
            load_state_dict(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "holds nothing, no state dict"),
        ([torch.ones(1)], "holds a list, no state dict"),
        ({"state_dict": {**STATE, "input_resolution": 224}}, r"no tensors: input_resolution \(int\)"),
        ({"epoch": 3, "lr": 0.1}, r"no tensors: epoch \(int\), lr \(float\)"),
    ],
)
def test_torch_files_without_a_state_dict(tmp_path: Path, content: object, message: str) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=message):
        load_state_dict(tmp_path / "w.pt")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_values_that_are_not_finite_are_named(tmp_path: Path, value: float, dtype: torch.dtype) -> None:
    bad = torch.ones(4, 5, dtype=dtype)
    bad[3, 2] = value
    save_file({**STATE, "text.proj": bad}, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"NaN or infinite values in text\.proj:"):
        load_state_dict(tmp_path / "w.safetensors")


def test_states_that_fit_pass() -> None:
    module = torch.nn.Linear(3, 2)
    check_state_dict(module.state_dict(), torch.nn.Linear(3, 2).state_dict(), "w.pt")


def test_states_of_another_model_are_told_apart() -> None:
    wanted = {"a": torch.ones(2, 3), "b": torch.ones(4), **{f"m{i}": torch.ones(1) for i in range(5)}}
    given = {"a": torch.ones(2, 4), "b": torch.ones(4), "extra": torch.ones(1)}
    with pytest.raises(WeightsError) as caught:
        check_state_dict(given, wanted, "w.pt")
    message = str(caught.value)
    assert message.startswith("w.pt was made for another model (")
    assert "5 missing: m0, m1, m2 and 2 more" in message
    assert "1 not in the model: extra" in message
    assert "1 of another shape: a (2, 4) instead of (2, 3)" in message
    assert "name the architecture" in message
