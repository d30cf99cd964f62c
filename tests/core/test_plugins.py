"""Plug-ins: a package that is really installed, and what is refused of one."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from densevl.core.errors import UsageError
from densevl.core.plugins import Plugin, plugin_rows
from densevl.weights.table import DATA

PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "pond-vision"
version = "1.0"

[project.entry-points.densevl]
pond = "pond_vision.members"

[tool.setuptools]
packages = ["pond_vision"]

[tool.setuptools.package-data]
pond_vision = ["*.json", "*.safetensors"]
"""
MEMBERS = """
from dataclasses import dataclass

from densevl.dense.contracts import named
from densevl.dense.readouts import READOUTS
from densevl.encoders.contracts import Needs


@READOUTS.register_module("pond-tokens")
@dataclass(frozen=True)
class PondTokens:
    needs = Needs()

    @property
    def name(self):
        return named("pond-tokens", self)

    def __call__(self, last):
        return last.on_grid(last.tokens)
"""
MODELS = {
    "pond": {
        "extends": "mini-maskclip",
        "description": "a model of another package",
        "segmentor": {"encoder": {"weights": "pond-clip"}, "readout": "pond-tokens"},
    }
}
WEIGHTS = {
    "source": "a test",
    "weights": {
        "pond-clip": {
            "kind": "mini-clip",
            "file": "pond.safetensors",
            "licence": "CC0-1.0",
            "parameters": 1,
            "packaged": True,
        }
    },
}
USE = """
import densevl

model = densevl.load("pond", device="cpu")
print(model.segmentor.protocol["readout"], model.segmentor.protocol["encoder"].partition("@")[0])
print(model.segment({image!r}, "grass, brick").labels.shape)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder that a package with a readout, a model and weights of its own was installed into by pip."""
    source, site = tmp_path_factory.mktemp("pond"), tmp_path_factory.mktemp("site")
    package = source / "pond_vision"
    package.mkdir()
    (source / "pyproject.toml").write_text(PROJECT)
    (package / "__init__.py").write_text("")
    (package / "members.py").write_text(MEMBERS)
    (package / "models.json").write_text(json.dumps(MODELS))
    (package / "weights.json").write_text(json.dumps(WEIGHTS))
    shutil.copy(DATA / "mini" / "clip.safetensors", package / "pond.safetensors")
    pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target", str(site), str(source)]
    done = subprocess.run([sys.executable, *pip], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return site


def run(site: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": str(site), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_installed_package_adds_a_model(installed):
    done = run(installed, "-m", "densevl", "models")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    (place,) = (place for place, line in enumerate(lines) if line.startswith("pond "))
    assert lines[place].split()[1:] == ["7", "MB", "here", "CC0-1.0"]
    assert lines[place + 1].strip() == "a model of another package"


def test_the_model_is_loaded_by_its_name(root, installed):
    done = run(installed, "-c", USE.format(image=str(root / "demo" / "images" / "garden.png")))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["pond-tokens mini-clip", "(384, 512)"]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Make a package of files that are given, as a plug-in."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(**files):
        name = f"plugin_{tmp_path.name}".replace("-", "_")
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(files.pop("init", ""))
        for stem, rows in files.items():
            (tmp_path / name / f"{stem}.json").write_text(rows if isinstance(rows, str) else json.dumps(rows))
        return Plugin(name, "DENSEVL_PLUGINS")

    return make


def test_rows_are_read_without_importing_the_package(package):
    plugin = package(init="raise RuntimeError('imported')", models=MODELS, weights=WEIGHTS)
    assert plugin.rows("models.json") == MODELS
    assert plugin.rows("weights.json", within="weights") == WEIGHTS["weights"]
    assert plugin.rows("others.json") == {}
    with pytest.raises(
        UsageError, match=r"DENSEVL_PLUGINS names '\w+', which cannot be imported: RuntimeError: imported"
    ):
        plugin.load()


def test_a_module_in_no_package_has_no_tables(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "lone_module_of_a_test.py").write_text("")
    (tmp_path / "models.json").write_text(json.dumps(["not", "ours"]))
    assert Plugin("lone_module_of_a_test", "DENSEVL_PLUGINS").rows("models.json") == {}


@pytest.mark.parametrize(
    ("models", "complaint"),
    [
        ("{", "models.json is not JSON"),
        (["pond"], "models.json must hold rows by name"),
        ({"pond": "mini"}, "models.json must hold rows by name"),
        ({"mini": {}}, "has a row 'mini', as densevl has; rename it"),
        ({"pond": {"segmenter": {}}}, "row 'pond' is none: .*'segmenter'"),
        ({"pond": {"extends": "nothing"}}, "row 'pond' is none: extends 'nothing', which is no model"),
        ({"pond": {"extends": "pond"}}, "row 'pond' is none"),
    ],
)
def test_bad_rows_name_their_plug_in(package, monkeypatch, models, complaint):
    from densevl.api import models as table

    plugin = package(models=models)
    monkeypatch.setattr("densevl.core.plugins.plugins", lambda: (plugin,))
    with pytest.raises(UsageError, match=complaint):
        table._table.__wrapped__()


def test_two_plug_ins_cannot_add_one_name(package, monkeypatch):
    plugin = package(models=MODELS)
    monkeypatch.setattr("densevl.core.plugins.plugins", lambda: (plugin, plugin))
    with pytest.raises(UsageError, match="'pond', as the plug-in plugin_"):
        plugin_rows("models.json", {})


def test_a_bad_row_of_weights_names_its_plug_in(package, monkeypatch):
    from densevl.weights import table

    plugin = package(weights={"weights": {"pond-clip": {"file": "x", "kind": "clip", "licence": "MIT", "sort": 1}}})
    monkeypatch.setattr("densevl.core.plugins.plugins", lambda: (plugin,))
    with pytest.raises(UsageError, match=r"row 'pond-clip' is none: .*'sort'"):
        table.weights_table.__wrapped__()


def test_a_plug_in_that_is_not_there_is_named():
    done = run(Path(), "-m", "densevl", "models", DENSEVL_PLUGINS="no_such_module")
    assert done.returncode == 2
    assert done.stderr.startswith("densevl: error: DENSEVL_PLUGINS names 'no_such_module', which cannot be ")
    assert len(done.stderr.splitlines()) == 1
