"""The scripts of ``demo/`` as their headers call them."""

import re
import runpy
import shlex

import pytest

SCRIPTS = {
    "draw_scenes": ("scenes/scene_5.png", "a "),
    "encode_once": (None, "green ring"),
    "refer_expression": ("ranking.png", "heart"),
    "search_regions": ("hits.png", "garden.png"),
    "segment_image": ("overlay.png", "yellow heart"),
}


def test_every_script_is_here(root):
    assert {path.stem for path in (root / "demo").glob("*.py")} == SCRIPTS.keys()


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name == "search_regions")) for name in SCRIPTS]
)
def test_script(root, tmp_path, monkeypatch, capsys, name):
    script = root / "demo" / f"{name}.py"
    (command,) = re.findall(r"^python demo/\w+\.py (.*)$", script.read_text(encoding="utf-8"), re.MULTILINE)
    arguments = [word.replace("demo/", f"{root}/demo/") for word in shlex.split(command)]
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(script))["main"](*arguments)
    written, printed = SCRIPTS[name]
    assert printed in capsys.readouterr().out
    assert written is None or (tmp_path / written).stat().st_size > 1000
    assert len(script.read_text(encoding="utf-8").splitlines()) < 40
