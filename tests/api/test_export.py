"""Exported graphs, read by the programs that users read them with, against the model."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

import densevl
from densevl.api.export import OLDEST_TORCH, TOLERANCE, check, export
from densevl.weights.download import file_sha256

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytestmark = pytest.mark.skipif(torch.__version__ < OLDEST_TORCH, reason=f"needs torch {OLDEST_TORCH}")

CLASSES = "grass|lawn, brick, yellow heart"


def exported(path, name, **settings):
    """Export in a process of its own, as users do: checks of shapes stay out of the graph."""
    arguments = [word for key, value in settings.items() for word in (f"--{key}", value)]
    command = [sys.executable, "-m", "densevl", "export", "--model", name, "--out", str(path), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert str(path) in done.stdout
    return json.loads(path.with_name(f"{path.name}.json").read_text(encoding="utf-8"))


def run(path, **inputs):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert {one.name for one in session.get_inputs()} == inputs.keys()
    return session.run(None, inputs)


@pytest.fixture(scope="module")
def model():
    return densevl.load("mini-maskclip", device="cpu")


@pytest.fixture(scope="module")
def images(root):
    """Two crops of one size, whose sides are no multiple of the patch."""
    image = densevl.read_image(root / "demo" / "images" / "garden.png")
    return np.stack([image[:101, :155], image[200:301, 300:455]])


@pytest.fixture(scope="module")
def garden(tmp_path_factory):
    """A graph of labels with classes in it, and its sidecar."""
    path = tmp_path_factory.mktemp("graph") / "garden.onnx"
    return path, exported(path, "mini-maskclip", classes=CLASSES, output="labels")


def scores(model, images, size, texts):
    tensors = [torch.from_numpy(image).permute(2, 0, 1) for image in images]
    encoded = model.segmentor.encode_resized(tensors, [size] * len(images))
    return torch.stack([model.segmentor.scores(one, texts) for one in encoded]).numpy()


@pytest.mark.slow
@pytest.mark.parametrize("size", [(101, 155), (240, 90), (1, 1)])
def test_labels_of_a_graph_are_the_models(garden, model, images, size):
    wanted = scores(model, images, size, model.embed_classes(CLASSES))
    for batch in (images, images[:1]):
        labels, best = run(garden[0], images=batch.transpose(0, 3, 1, 2), size=np.array(size))
        assert labels.shape == (len(batch), *size)
        assert np.abs(best - wanted[: len(batch)].max(1)).max() < TOLERANCE
        own = np.take_along_axis(wanted[: len(batch)], labels[:, None], 1)[:, 0]
        assert np.abs(best - own).max() < TOLERANCE


@pytest.mark.slow
def test_the_sidecar_says_what_the_graph_is(garden, model):
    path, sidecar = garden
    assert sidecar["sha256"] == file_sha256(path)
    assert sidecar["classes"] == ["grass", "brick", "yellow heart"]
    assert sidecar["protocol"] == model.segmentor.protocol
    assert (sidecar["resize"]["short_side"], sidecar["resize"]["long_side"]) == (224, 512)
    assert len({tuple(one["image"]) for one in sidecar["checks"]}) == 3
    assert {one["batch"] for one in sidecar["checks"]} == {1, 2, 3}
    assert all(one["largest_difference"] <= TOLERANCE for one in sidecar["checks"])
    assert sorted(one.name for one in path.parent.iterdir()) == ["garden.onnx", "garden.onnx.json"]


@pytest.mark.slow
def test_a_server_without_densevl_answers_as_the_model(root, garden, model):
    command = [sys.executable, str(root / "demo" / "serve_graph.py"), str(garden[0]), "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        address = server.stdout.readline().strip()
        file = root / "demo" / "images" / "garden.png"
        with urllib.request.urlopen(address, data=file.read_bytes(), timeout=60) as answer:
            labels = np.asarray(Image.open(BytesIO(answer.read())))
        with pytest.raises(urllib.error.HTTPError, match="400"):
            urllib.request.urlopen(address, data=b"no image", timeout=60)
    finally:
        server.kill()
        server.wait()
    assert (labels == model.segment(file, CLASSES).labels).mean() > 0.9999
    text = (root / "demo" / "serve_graph.py").read_text(encoding="utf-8")
    assert "import densevl" not in text
    assert "import torch" not in text


@pytest.mark.slow
def test_vectors_of_classes_as_an_input(tmp_path, model, images):
    path = tmp_path / "any.onnx"
    settings = {"set": "average=logits", "input": "float32"}
    exported(path, "mini-maskclip", **settings)
    other = densevl.load("mini-maskclip", device="cpu", average="logits")
    for names in ("grass, brick", "grass, brick, yellow heart, blue circle"):
        texts = model.embed_classes(names)
        wanted = scores(other, images, (101, 155), texts)
        seen = images.transpose(0, 3, 1, 2).astype(np.float32) / 255
        (found,) = run(path, images=seen, size=np.array((101, 155)), classes=texts.vectors.numpy())
        assert np.abs(found - wanted).max() < TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["onnx", "pt2"])
def test_refiners_with_sub_patches_and_a_background_head(tmp_path, images, suffix):
    path, classes = tmp_path / f"mini.{suffix}", "yellow heart, blue circle"
    kind = "onnx" if suffix == "onnx" else "torch-export"
    sidecar = exported(path, "mini", classes=classes, background="head", format=kind)
    assert sidecar["classes"][sidecar["background"]] == "background"
    model = densevl.load("mini", device="cpu")
    wanted = scores(model, images, (60, 70), model.embed_classes(classes, "head"))
    given = images.transpose(0, 3, 1, 2).copy()
    if suffix == "onnx":
        (found,) = run(path, images=given, size=np.array((60, 70)))
    else:
        program = torch.export.load(path).module()
        (found,) = program(images=torch.from_numpy(given), size=torch.tensor((60, 70)))
        found = found.detach().numpy()
    assert np.abs(found - wanted).max() < TOLERANCE


@pytest.mark.slow
def test_naclip_with_a_threshold(tmp_path):
    path = tmp_path / "naclip.pt2"
    settings = {"readout": "naclip", "positions": "plus", "border": "drop"}
    model = densevl.load("mini-maskclip", device="cpu", **settings)
    command = [word for item in settings.items() for word in ("--set", "=".join(item))]
    done = subprocess.run(
        [
            *[sys.executable, "-m", "densevl", "export", "--model", "mini-maskclip", "--out", str(path), *command],
            *["--format", "torch-export", "--classes", CLASSES, "--background", "threshold:0.6", "--output", "labels"],
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    texts = model.embed_classes(CLASSES, "threshold:0.6")
    image = torch.randint(0, 256, (1, 3, 61, 90), dtype=torch.uint8)
    labels, best = torch.export.load(path).module()(images=image, size=torch.tensor((61, 90)))
    (encoded,) = model.segmentor.encode_resized(list(image), [(61, 90)])
    wanted, confidence = model.segmentor.label(encoded, texts)
    assert (best[0] - confidence).abs().max() < TOLERANCE
    assert (labels[0] == wanted).float().mean() > 0.999


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"window": 112, "stride": 56}, r"windows of 112 pixels.*--set window=null"),
        ({"stages": ["pamr"]}, r"smooths its scores by pamr.*--set 'stages=\[\]'"),
        ({"dtype": "bfloat16"}, "graphs are of float32"),
        ({"name": "mini-regions"}, "labels pixels by regions"),
    ],
)
def test_what_a_graph_would_leave_out_is_refused(tmp_path, settings, complaint):
    model = densevl.load(**{"name": "mini", "device": "cpu", **settings})
    with pytest.raises(densevl.UsageError, match=complaint):
        export(model, tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--out", "x.onnx", "--format", "tensorrt"], "format 'tensorrt' is unknown"),
        (["--out", "x.pt2"], r"a file of the format onnx ends in .onnx; got 'x.pt2'"),
        (["--out", "x.onnx", "--background", "literal"], "a background mode belongs to classes"),
    ],
)
def test_bad_arguments_are_named_before_a_model_is_loaded(tmp_path, monkeypatch, capsys, arguments, complaint):
    from densevl.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("densevl.api.loading.load", lambda *_, **__: pytest.fail("loaded"))
    assert main(["export", "--model", "mini", *arguments]) == 2
    assert complaint in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    monkeypatch.setattr("densevl.api.export.find_spec", lambda name: None if name == "onnxscript" else os)
    with pytest.raises(densevl.UsageError, match=r"needs onnxscript; run: pip install 'densevl\[export\]'"):
        check("onnx", tmp_path / "x.onnx")
