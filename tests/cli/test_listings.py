"""`densevl models`: the table at several widths, one in full, and JSON."""

import json
import subprocess
import sys

import pytest

from densevl.api.models import models
from densevl.cli import main
from densevl.regions.detectors import DETECTORS
from densevl.weights import weights_table


@pytest.fixture
def table(monkeypatch, capsys):
    """Prints the table for a terminal of so many columns."""

    def of(columns):
        monkeypatch.setenv("COLUMNS", str(columns))
        assert main(["models"]) == 0
        return capsys.readouterr().out.splitlines()

    return of


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
def test_the_table_fits_the_terminal_and_its_columns_stand_below_each_other(table, columns):
    lines = table(columns)
    assert max(map(len, lines)) <= max(columns, 82)
    rows = [line for line in lines if " MB  " in line]
    assert len({line.index(" MB  ") for line in rows}) == 1
    assert len({line.index("here" if "  here" in line else "to fetch") for line in rows}) == 1
    names = [line.split()[0] for line in lines if line and line[0] != " "]
    assert set(models()) <= set(names)
    assert {"sam-vit-b", "sam2", "grabcut", *DETECTORS.names} <= set(names)


def test_what_comes_with_densevl_is_here_and_comes_first(table):
    lines = table(120)
    assert lines[0].split() == ["name", "size", "weights", "licence", "description"]
    assert lines[2] == "Models that are installed with densevl, for photos"
    assert lines[3].split()[:5] == ["photo", "19", "MB", "here", "Apache-2.0"]
    assert "to fetch  MIT " in next(line for line in lines if line.startswith("maskclip "))


def test_one_in_full(capsys):
    assert main(["models", "fgvp-b16", "owlv2", "naclip@clip-vit-l14-openai"]) == 0
    printed = capsys.readouterr().out
    for name in ("clip-vit-b16-openai", "sam-vit-b", "owlv2"):
        entry = weights_table()[name]
        assert all(file.address in printed for file in entry.files)
        assert all(f"sha256sum must print {file.sha256}" in printed for file in entry.files)
    assert "for densevl refer, embed, search" in printed
    assert '"visual_prompts"' in printed
    naclip = printed[printed.index("naclip@") :]
    assert '"weights": "clip-vit-l14-openai"' in naclip
    assert "clip-vit-b16-openai" not in naclip


def test_encoders_stand_behind_the_models_and_those_that_are_not_free_apart(table):
    lines = table(120)
    starts = [next(i for i, line in enumerate(lines) if line.startswith(start)) for start in (
        "Models for all", "mini-siglip", "Models for refer", "Image-text encoders: ", "siglip2-vit-b16 ",
        "Image-text encoders that are not free", "mobileclip2-s0 ", "Mask makers",
    ) if start != "Models for all"]  # fmt: skip
    assert starts == sorted(starts)
    assert "apple-amlr" in lines[starts[-2]]
    assert "to fetch  Apache-2.0" in lines[starts[3]]


def test_an_encoder_in_full_says_how_it_is_read(capsys):
    assert main(["models", "siglip2-vit-b16", "mini-tok"]) == 0
    printed = capsys.readouterr().out
    siglip, tok = printed.split("mini-tok: ")
    assert "for densevl segment, compare, embed, search, refer" in siglip
    for line in (
        "tokenizer    tokenizer.json",
        "mean         0.5, 0.5, 0.5",
        "whole images squash",
        "ViT-B-16-SigLIP2",
    ):
        assert line in siglip
    assert "calibrated on nothing" in siglip
    assert "made from    mini-clip" in tok
    assert "layout       image-tower" in tok


def test_what_is_unknown(capsys):
    assert main(["models", "fgpv"]) == 2
    assert "'fgpv' is neither a model nor weights; did you mean fgvp" in capsys.readouterr().err


def test_json_for_programs(capsys):
    assert main(["models", "--json"]) == 0
    items = {item["name"]: item for item in json.loads(capsys.readouterr().out) if "Detectors" not in item["group"]}
    assert set(models()) <= set(items)
    assert items["fgvp-b16"]["commands"] == ["refer", "embed", "search"]
    assert items["mini"]["here"] is True
    assert items["maskclip"]["size"] == weights_table()["clip-vit-b16-laion2b"].bytes
    assert main(["models", "fgvp", "--json"]) == 0
    (fgvp,) = json.loads(capsys.readouterr().out)
    assert [file["file"] for file in fgvp["files"]][-1] == "sam_vit_h_4b8939.pth"
    assert fgvp["files"][1]["sha256"] is None
    assert "its sha256 must be the one at https://huggingface.co/timm/resnet50x16" in fgvp["files"][1]["check"]


def test_the_table_needs_nothing_heavy():
    code = "import sys; from densevl.cli import main; main(['models']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
