"""The options that commands share."""

import argparse
import subprocess
import sys

import pytest

from densevl.api.models import DEFAULTS
from densevl.cli import _parser, main
from densevl.cli.options import MODELS, numbers

HEAVY = ("torch", "mmengine", "mmseg", "cv2", "numpy", "PIL")


def parse(*arguments):
    return _parser().parse_args(["segment", "a.png", "cat", *arguments])


def test_help_of_every_command_loads_nothing_heavy():
    """And no command asks the package for its version, which lies above it."""
    check = f"""
import contextlib, io, sys
from densevl.cli import main
helps = [["--help"], ["--version"]]
names = "segment refer compare embed search label-regions test train models env fetch"
helps += [[name, "--help"] for name in names.split()]
for arguments in helps:
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()) as text:
        main(arguments)
    assert "densevl" in text.getvalue()
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_version_is_that_of_the_installed_package(capsys):
    from importlib.metadata import version

    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"densevl {version('densevl')}\n"


@pytest.mark.parametrize(
    ("text", "change"),
    [
        ("short_side=336", {"short_side": 336}),
        ("gamma=0.3", {"gamma": 0.3}),
        ("smooth=true", {"smooth": True}),
        ("mask_maker=null", {"mask_maker": None}),
        ("readout=naclip", {"readout": "naclip"}),
        ('readout={"type": "naclip", "sigma": 5}', {"readout": {"type": "naclip", "sigma": 5}}),
        ("encoder.weights=a=b.pt", {"encoder.weights": "a=b.pt"}),
        ("refiners.0.weights=", {"refiners.0.weights": ""}),
    ],
)
def test_changes_are_json_or_texts(text, change):
    assert parse("--set", text).changes == change
    assert parse().changes == {}, "one command line knows nothing of another"


def test_options_of_their_own_are_changes_too():
    options = parse("--short-side", "64", "--set", "stride=32", "--window", "48")
    assert options.changes == {"short_side": 64, "stride": 32, "window": 48}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "short_side"], "PATH=VALUE"),
        (["--set", "=3"], "PATH=VALUE"),
        (["--set", "short_side=3", "--short-side", "4"], "short_side is given twice: 3 and 4"),
        (["--set", "gamma=1", "--set", "gamma=1"], "gamma is given twice"),
        (["--short-side", "0"], "positive"),
    ],
)
def test_changes_that_cannot_be_meant(capsys, arguments, message):
    with pytest.raises(SystemExit):
        parse(*arguments)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("command", ["segment", "refer", "compare", "embed", "search"])
def test_every_command_passes_name_and_changes_to_the_builder(root, tmp_path, monkeypatch, command):
    from densevl.api import loading
    from densevl.core.errors import UsageError

    seen = []

    def load(name, **arguments):
        seen.append((name, arguments))
        raise UsageError("stop here")

    monkeypatch.setattr(loading, "load", load)
    image = str(root / "demo" / "images" / "garden.png")
    words = [] if command == "embed" else ["grass"]
    settings = ["--set", "readout=naclip", "--set", "encoder.weights=file.pt", "--set", "gamma=0.3"]
    out = ["--out", str(tmp_path / "out"), *(["--index", str(tmp_path / "index")] if command == "search" else [])]
    assert main([command, image, *words, "--model", "naclip@siglip-b16", *settings, *out]) == 2
    ((name, arguments),) = seen
    assert name == "naclip@siglip-b16"
    assert {path: arguments.get(path) for path in ("readout", "encoder.weights", "gamma")} == {
        "readout": "naclip",
        "encoder.weights": "file.pt",
        "gamma": 0.3,
    }


@pytest.mark.parametrize("component", ["segmentor", "grounder"])
def test_the_help_names_the_defaults(component):
    """Which it does not import."""
    best, other = DEFAULTS[component]
    assert MODELS[component] == f"{best}; offline, with its weights missing, {other}"


def test_numbers():
    assert numbers(int, "X,Y", "1,2")("3,4") == (3, 4)
    for text in ("3", "3,4,5", "3,b", ""):
        with pytest.raises(argparse.ArgumentTypeError, match="write X,Y, such as 1,2; got"):
            numbers(int, "X,Y", "1,2")(text)


@pytest.mark.parametrize(
    "line",
    [
        "segment a.png cat --out s3://bucket/out",
        "embed photos --out gs://bucket/index",
        "refer a.png dog --out s3://bucket/out",
        "search index dog --like s3://bucket/a.png",
        "label-regions photos --out s3://bucket/shards",
        "teach s3://bucket/annotations.json --out classes.safetensors",
        "teach annotations.json --out classes.safetensors --images s3://bucket/photos",
        "tune annotations.json --out gs://bucket/classes.safetensors",
        "check classes.safetensors test.json --report s3://bucket/report",
        "compare s3://bucket/a.png cat",
        "test dinoiser_scenes --out s3://bucket/out",
        "test dinoiser_scenes --work-dir s3://bucket/out",
    ],
)
def test_what_is_no_place_of_this_machine_is_refused_with_the_cure(line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(line.split())
    assert ended.value.code == 2
    *_, said = capsys.readouterr().err.splitlines()
    assert "://bucket/" in said
    assert "is not on this machine: copy what is to be read" in said
    assert "sync that (aws s3 sync, gcloud storage rsync)" in said
    assert list(tmp_path.iterdir()) == []
