"""The scripts of ``demo/`` as their headers call them."""

import re
import runpy
import shlex
import sys

import pytest

SCRIPTS = {
    "draw_examples": ("things/new/07.png", "69 boxes in things/shown"),
    "draw_scenes": ("scenes/scene_5.png", "a "),
    "draw_sequences": ("clips/new/near_miss/001/7.png", "near miss"),
    "encode_once": ("out/overlay_2.png", "green ring"),
    "observe": ("out/observation.npy", "(192, 3, 3) float32"),
    "refer_expression": ("out/ranking.png", "heart"),
    "search_regions": ("out/hits.png", "garden.png"),
    "segment_image": ("out/overlay.png", "yellow heart"),
}


SLOW = ("draw_sequences", "search_regions")

OPTIONAL = {"observe": "gymnasium"}
"""What a script needs that densevl does not."""


@pytest.fixture
def run(root, tmp_path, monkeypatch):
    """Run a script of the folder with arguments, in an empty folder."""

    def call(name, *arguments):
        if name in OPTIONAL:
            pytest.importorskip(OPTIONAL[name])
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments])
        runpy.run_path(str(root / "demo" / f"{name}.py"), run_name="__main__")

    return call


def test_every_script_is_here(root):
    served = {"serve_graph"}  # tests/api/test_export.py asks it
    assert {path.stem for path in (root / "demo").glob("*.py")} == SCRIPTS.keys() | served


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in SCRIPTS])
def test_script(root, tmp_path, run, capsys, name):
    text = (root / "demo" / f"{name}.py").read_text(encoding="utf-8")
    (command,) = re.findall(r"^python demo/\w+\.py (.*)$", text, re.MULTILINE)
    run(name, *(word.replace("demo/", f"{root}/demo/") for word in shlex.split(command)))
    written, printed = SCRIPTS[name]
    assert printed in capsys.readouterr().out
    assert (tmp_path / written).stat().st_size > 1000
    assert len(text.splitlines()) < 40


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_writes_nothing(tmp_path, run, capsys, name):
    with pytest.raises(SystemExit, match="0"):
        run(name, "--help")
    told = capsys.readouterr().out
    assert "--out" in told
    assert ("--model" in told) == (not name.startswith("draw_"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_unknown_options_are_refused(tmp_path, run, capsys, name):
    with pytest.raises(SystemExit, match="2"):
        run(name, "--modle", "mini")
    assert capsys.readouterr().err.startswith("usage: ")
    assert list(tmp_path.iterdir()) == []
