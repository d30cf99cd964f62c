"""Members of every family, added from outside: through ``load``, the command line and ``tools/test.py``."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from toys import plugin
from toys.tuning import NAMES, two_colours

import densevl
from densevl.cli import main
from densevl.datasets.scenes.scene import render

WORDS = "grass, brick, sand, red circle, blue ring|ring"
CONFIG = "configs/maskclip_scenes.py"
PLACES = {
    "NACLIP, a dense head": [
        "densevl/dense/readouts/naclip.py",
        "densevl/dense/readouts/__init__.py: naclip",
        "densevl/data/models.json: naclip",
        "tests/golden/test_golden_naclip.py",
    ],
    "FastViT, an image tower": [
        "densevl/encoders/towers/fastvit.py",
        "densevl/encoders/towers/__init__.py: FastViTTower",
        "tests/encoders/towers/test_timm.py",
    ],
    "singular values, a tunable": [
        "densevl/encoders/tuning/singular_values.py",
        "densevl/encoders/tuning/__init__.py: singular-values",
        "densevl/data/tuning.json: clip-svd",
        "tests/golden/test_golden_clip_svd.py",
    ],
    "cues, a lens": [
        "densevl/benchmarks/lenses/cues.py",
        "densevl/benchmarks/lenses/__init__.py: cues",
        "tests/benchmarks/lenses/test_cues.py",
    ],
    "hardest, a lens of answers": [
        "densevl/benchmarks/lenses/answers/hardest.py",
        "densevl/benchmarks/lenses/answers/__init__.py: hardest",
        "tests/benchmarks/lenses/answers/test_hardest.py",
    ],
    "GDA, a few-shot classifier": [
        "densevl/classifiers/gda.py",
        "densevl/classifiers/__init__.py: gda",
        "tests/classifiers/test_gda.py",
    ],
}
"""The files that each of the first members touches, and what to look for in those that it shares."""


@pytest.fixture(scope="module")
def scene():
    return render(3, 5, size=(64, 96), split="val", count=(3, 3))


def areas(model, scene):
    return model.segment(scene.image, WORDS).areas()


@pytest.fixture(scope="module")
def plain(scene):
    return areas(densevl.load("mini-maskclip", device="cpu"), scene)


@pytest.mark.parametrize(
    "changes",
    [
        {"encoder": "toy-encoder"},
        {"readout": "toy-guided"},
        {"readout": {"type": "toy-guided", "sharpness": 5.0}},
        {"stages": ["toy-blur"]},
        {"classifier": "toy-first"},
        {"readout": "toy-windows", "window": 32, "stride": 16},
        {"readout": "toy-texts"},
    ],
    ids=str,
)
def test_load_builds_what_a_plug_in_adds(changes, scene, plain):
    model = densevl.load("mini-maskclip", device="cpu", **changes)
    found = areas(model, scene)
    assert found != plain
    protocol = model.segmentor.protocol
    assert protocol != densevl.load("mini-maskclip", device="cpu").segmentor.protocol
    assert "toy" in json.dumps(protocol)


def test_an_encoder_with_another_prefix_gives_what_the_tokens_say(scene):
    toy = densevl.load("mini-maskclip", device="cpu", encoder="toy-encoder").segmentor
    last = toy.encoder.last_block(torch.rand(2, 3, 32, 40))
    assert (last.prefix, last.grid) == (2, (4, 5))
    assert last.tokens.shape[1] == 2 + 20
    assert toy.encode([scene.image])[0].features.grid.shape[1] == toy.encoder.dim


def test_a_region_embedder(scene):
    model = densevl.load("mini", device="cpu", embedder={"type": "toy-centre", "side": 24})
    vectors = model.embed(scene.image, [list(item.box) for item in scene.objects])
    assert isinstance(model.embedder, plugin.ToyCentre)
    assert vectors.vectors.shape == (3, model.segmentor.encoder.dim)
    assert vectors.cosines(model.embed_texts(["red circle"])).shape == (3, 1)


def test_windows_of_an_image_come_together_and_alone(scene):
    segmentor = densevl.load(
        "mini-maskclip", device="cpu", readout="toy-windows", window=32, stride=16, window_batch=2
    ).segmentor
    other = render(4, 1, size=(64, 64), split="val").image
    together = segmentor.encode([scene.image, other])
    for one, image in zip(together, (scene.image, other), strict=True):
        torch.testing.assert_close(one.features.grid, segmentor.encode([image])[0].features.grid)


def test_features_made_for_a_vocabulary_are_asked_no_other(scene):
    model = densevl.load("mini-maskclip", device="cpu", readout="toy-texts")
    texts = model.embed_classes(WORDS)
    (encoded,) = model.segmentor.encode([scene.image], texts)
    assert model.segment(encoded, texts).labels.shape == scene.image.shape[:2]
    with pytest.raises(densevl.UsageError, match="encode it again for others"):
        model.segment(encoded, "grass, sand")
    with pytest.raises(densevl.UsageError, match="needs the texts while it encodes"):
        model.encode(scene.image)


def test_a_fitted_classifier_is_asked_like_a_vocabulary(scene):
    model = densevl.load("mini-maskclip", device="cpu")
    texts = model.embed_classes("grass, brick, sand")
    (encoded,) = model.segmentor.encode([scene.image])
    units = torch.nn.functional.normalize(encoded.features.grid[0].flatten(1).mT, dim=1)
    labels = (units @ texts.vectors.mT).argmax(1)
    labels[:3] = torch.arange(3)
    fitted = densevl.GDA().fit(
        texts, densevl.Examples(units, labels, texts.model_id, model.segmentor.space), model.segmentor.temperature
    )
    assert model.segment(scene.image, fitted).labels.shape == scene.image.shape[:2]
    other = densevl.load("mini-maskclip", device="cpu", readout="naclip")
    with pytest.raises(densevl.UsageError, match="make them anew"):
        other.segment(scene.image, fitted)


def test_a_tunable_and_a_loss_are_tuned_saved_and_loaded(tmp_path):
    model = densevl.load("mini-clip", device="cpu", **{"embedder.size": 32, "embedder.mode": "keep"})
    examples = [
        {"image": str(path), "name": NAMES[number % 2]} for number, path in enumerate(two_colours(tmp_path, count=6))
    ]
    settings = {"tunables": [{"type": "toy-shift"}], "losses": [{"type": "toy-pull"}], "steps": 3, "flip": False}
    classes = model.tune(examples, method="plain", settings=settings)
    file = tmp_path / "classes.safetensors"
    classes.save(file)
    tuned = densevl.load("mini-clip", device="cpu", **{"encoder.delta": str(file)})
    assert tuned.embedder.encoder.model_id == classes.delta.tuned_id
    image = torch.rand(1, 3, 128, 128)
    before, after = (one.embedder.encoder.embed_images(image) for one in (model, tuned))
    assert 0 < float((before - after).abs().max()) < 0.5


def test_a_lens_asks_from_outside(tmp_path, capsys):
    command = ["check", "mini", "--lens", "toy-names", "--scenes", "2", "--device", "cpu"]
    assert main([*command, "--report", str(tmp_path)]) == 0
    assert "names" in capsys.readouterr().out
    values = json.loads((tmp_path / "check.json").read_text())
    assert values["lenses"]["toy-names"]["names"] > 0


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, which finds the plug-in by its environment."""
    environment = {**os.environ, "DENSEVL_PLUGINS": "toys.plugin", "PYTHONPATH": str(root / "tests")}
    return subprocess.run(
        [sys.executable, *arguments], cwd=root, env=environment, capture_output=True, text=True, check=False
    )


def test_the_command_line(root, tmp_path, monkeypatch, capsys):
    settings = ["--set", "readout=toy-guided", "--set", 'stages=["toy-blur"]', "--set", "classifier=toy-first"]
    settings += ["--set", "encoder=toy-encoder", "--model", "mini-maskclip"]
    command = ["segment", "demo/images/garden.png", WORDS, "--out", str(tmp_path), *settings]
    done = run(root, "-m", "densevl", *command)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "garden.overlay.png").stat().st_size > 1000
    monkeypatch.chdir(root)
    assert main(command) == 0
    assert "1 done before" in capsys.readouterr().out
    assert main([*command, "--overwrite", "--set", "stride=200"]) == 0
    assert "done before" not in capsys.readouterr().out


def test_the_command_line_embeds_regions_with_it(root, tmp_path, monkeypatch):
    monkeypatch.chdir(root)
    command = ["embed", "demo/images", "--model", "mini", "--set", "embedder=toy-centre", "--regions", "whole"]
    assert main([*command, "--out", str(tmp_path / "index")]) == 0


def test_tools_test(root, tmp_path):
    options = ["model.readout=toy-guided", "model.stages=['toy-blur']", "model.classifier=toy-first"]
    command = ["tools/test.py", CONFIG, "--limit", "2", "--work-dir", str(tmp_path), "--lens", "toy-count"]
    done = run(root, *command, "--cfg-options", *options, "model.encoder=toy-encoder")
    assert done.returncode == 0, done.stderr
    assert "2 images were counted" in done.stdout
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["lenses"]["toy-count"]["count"] == 2
    protocol = results["protocol"]
    assert protocol["readout"] == "toy-guided(sharpness=20.0)"
    assert protocol["classifier"] == "toy-first(scale=0.5)"
    assert protocol["encoder"].startswith("toy-mini-clip@")


@pytest.mark.parametrize("member", PLACES)
def test_the_first_members_touch_four_places_at_most(root, member):
    places = PLACES[member]
    assert len(places) <= 4
    for place in places:
        path, _, word = place.partition(": ")
        assert word in (root / path).read_text(encoding="utf-8")
    # no other module of the package names them, but for the lazy public names
    own = Path(places[0]).stem
    module = Path(places[0]).with_suffix("").as_posix().replace("/", ".")
    naming = {
        path.relative_to(root).as_posix()
        for path in (root / "densevl").rglob("*.py")
        if f"from {module} import" in path.read_text(encoding="utf-8")
    }
    allowed = {place.partition(": ")[0] for place in places} | {"densevl/__init__.py"}
    assert naming <= allowed, own


def test_a_plug_in_that_cannot_be_imported_is_named(root, monkeypatch):
    environment = {**os.environ, "DENSEVL_PLUGINS": "no_such_module"}
    command = [sys.executable, "-m", "densevl", "segment", "demo/images/garden.png", "grass", "--model", "mini"]
    done = subprocess.run(
        [*command, "--set", "readout=nope"], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "DENSEVL_PLUGINS names 'no_such_module'" in done.stderr
