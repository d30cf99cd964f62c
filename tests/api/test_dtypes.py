"""What a model computes in: as it is asked for, or what is told in its place."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import densevl
from densevl.api import dtypes
from densevl.api.dtypes import choose_dtype
from densevl.api.export import export
from densevl.core.int8 import Int8Weight, int8_fault
from densevl.datasets.scenes import render

CPU = torch.device("cpu")
CLASSES = ["red circle", "blue square", "green triangle"]


@pytest.fixture(scope="module")
def small():
    if int8_fault() is not None:
        pytest.skip(int8_fault())
    return densevl.load("mini", dtype="int8", device="cpu", offline=True)


def test_a_model_in_int8_labels_as_one_in_float32(small):
    scene = render(100, 0, (112, 144)).image
    expected = densevl.load("mini", device="cpu", offline=True).segment(scene, CLASSES)
    found = small.segment(scene, CLASSES)
    assert (np.asarray(found.labels) == np.asarray(expected.labels)).mean() > 0.97
    assert small.segmentor.protocol["dtype"] == "int8"
    assert small.segmentor.encoder.dtype == torch.bfloat16
    assert any(isinstance(weight, Int8Weight) for weight in small.segmentor.encoder.model.visual.parameters())
    assert not any(isinstance(weight, Int8Weight) for weight in small.segmentor.encoder.model.transformer.parameters())


def test_images_in_int8_are_near_their_batch_and_always_the_same(small):
    """What is no linear layer is bfloat16, whose last bits depend on the batch."""
    images = [render(100, index, (96, 112)).image for index in range(2)]
    both = small.segmentor.encode(images)
    for again, one in zip(small.segmentor.encode(images), both, strict=True):
        assert torch.equal(again.features.grid, one.features.grid)
    for image, one in zip(images, both, strict=True):
        (alone,) = small.segmentor.encode([image])
        assert F.cosine_similarity(alone.features.grid.float(), one.features.grid.float()).mean() > 0.999


def test_int8_is_neither_exported_nor_tuned(small, tmp_path):
    scene = render(100, 0, (96, 96)).image
    with pytest.raises(densevl.UsageError, match="the model is of int8; load it as float32"):
        export(small, tmp_path / "model.onnx")
    examples = [{"image": scene, "box": [10, 10, 60, 60], "label": "thing"}]
    with pytest.raises(densevl.UsageError, match=r"a model in int8 cannot be tuned.*dtype=float32"):
        small.tune(examples)


@pytest.mark.parametrize(
    ("device", "fault", "message"),
    [
        ("cpu", "this processor has no dot products of int8", "no dot products"),
        ("mps", None, "int8 is for CPUs, and the device is mps"),
    ],
)
def test_int8_falls_back_and_says_so(device, fault, message, monkeypatch, capsys):
    monkeypatch.setattr(dtypes, "int8_fault", lambda: fault)
    assert choose_dtype("int8", torch.device(device)) == "bfloat16"
    assert capsys.readouterr().err.splitlines() == [f"densevl: dtype bfloat16 and not int8: {fault or message}"]


@pytest.mark.parametrize("there", [{"amx_bf16"}, {"avx512_vnni"}])
def test_int8_says_where_it_is_no_faster(there, monkeypatch, capsys):
    monkeypatch.setattr(dtypes, "int8_fault", lambda: None)
    monkeypatch.setattr(dtypes, "instructions", lambda: frozenset(there))
    assert choose_dtype("int8", CPU) == "int8"
    assert ("bfloat16 is as fast or faster" in capsys.readouterr().err) == ("amx_bf16" in there)


def test_a_model_without_linear_layers_says_so(capsys):
    model = densevl.load("photo", dtype="int8", device="cpu", offline=True)
    assert model.segmentor.protocol["dtype"] == "bfloat16"
    if int8_fault() is None:
        assert "no linear layers" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "expected"),
    [({}, "float32"), ({"avx512_bf16": True}, "bfloat16"), ({"amx_bf16": True}, "bfloat16"), ({"avx2": 1}, "float32")],
)
def test_auto_takes_what_the_processor_computes_in(flags, expected, monkeypatch, capsys):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: flags, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False, raising=False)
    assert choose_dtype("auto", CPU) == expected
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"densevl: dtype {expected}: ")


@pytest.mark.parametrize(("capability", "expected"), [((9, 0), "bfloat16"), ((7, 5), "float16"), ((6, 1), "float32")])
def test_auto_takes_what_the_gpu_computes_in(capability, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert choose_dtype("auto", torch.device("cuda")) == expected


def test_others_are_as_they_are_asked_for(capsys):
    assert [choose_dtype(name, CPU) for name in ("float32", torch.bfloat16)] == ["float32", "bfloat16"]
    assert choose_dtype("auto", torch.device("mps")) == "float32"
    with pytest.raises(densevl.UsageError, match="dtype must be one of float32, bfloat16, float16, int8, auto"):
        choose_dtype(torch.int32, CPU)
