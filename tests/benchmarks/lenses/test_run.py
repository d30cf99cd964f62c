"""Running lenses: what is refused before anything slow, and what is written."""

import json
from pathlib import Path

import numpy as np
import pytest

from densevl.benchmarks.lenses import LENSES
from densevl.benchmarks.lenses.contracts import Finding, Lens, Plot, Table
from densevl.benchmarks.lenses.run import build_lenses, examine, own_settings
from densevl.benchmarks.lenses.source import Source
from densevl.cli import main
from densevl.core.errors import OutputError, UsageError


class Echo:
    """A lens that finds what it was given."""

    name = "echo"
    title = "What it was <given>"

    def gather(self, subject, source):
        return [image.name for image in source.labelled(self.name)]

    def examine(self, subject, data):
        plot = Plot("grey", np.full((4, 6, 3), 128, np.uint8), "grey & small")
        table = Table("Numbers", ("what", "value"), [("half", 0.5), ("none", None), ("a <b>", 3)])
        return Finding({"images": data}, [f"{len(data)} images"], [plot], [table])


def test_every_lens_keeps_the_contract():
    for name in LENSES.names:
        (lens,) = build_lenses([name])
        assert isinstance(lens, Lens)
        assert lens.name == name


def test_the_report_holds_what_the_lens_found(mini, scenes, tmp_path):
    found, note = examine(mini, [Echo()], scenes, tmp_path / "report")
    assert note is None
    values = json.loads((tmp_path / "report" / "check.json").read_text())
    assert (
        values["lenses"]
        == {"echo": dict(found["echo"].values)}
        == {"echo": {"images": values["lenses"]["echo"]["images"]}}
    )
    assert values["data"] == "3 scenes of 128×128 pixels, seed 3"
    page = (tmp_path / "report" / "index.html").read_text()
    assert "What it was &lt;given&gt;" in page
    assert "a &lt;b&gt;" in page
    assert ">0.500<" in page
    assert ">–<" in page
    assert (tmp_path / "report" / "page" / "echo" / "grey.png").is_file()
    assert 'src="page/echo/grey.png"' in page


def test_settings_go_to_the_lens_that_they_name():
    changes = {"calibration.bins": 7, "encoder.weights": "x", "short_side": 96}
    own = own_settings(["calibration"], changes)
    assert own == {"calibration.bins": 7}
    assert build_lenses(["calibration"], own)[0].bins == 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mini", "--lens", "calibratoin"], "lens 'calibratoin' is unknown; did you mean calibration"),
        (["mini", "--lens", "calibration", "--lens", "calibration"], "the lens 'calibration' is given twice"),
        (["mini", "--lens", "calibration", "--set", "calibration.colour=1"], "lens 'calibration' cannot be built"),
        (["mini", "--lens", "calibration", "--set", "calibration.bins=many"], "bins must be int"),
        (["mini", "gone.json", "--lens", "calibration"], "there is no TEST at gone.json"),
        (["none.safetensors", "--lens", "calibration"], "none.safetensors"),
        (["mini", "--model", "photo", "--lens", "calibration"], "the model is named twice, mini and --model photo"),
        (["mini", "gone.json", "--lens", "calibration", "--seed", "1"], "--seed is of scenes that are drawn"),
        (["minni", "--lens", "calibration"], "minni"),
        (["mini"], "give them as TEST, or a question by --lens"),
    ],
)
def test_what_cannot_be_used_is_one_error(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["check", *arguments, "--device", "cpu", "--report", "report"]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert len([line for line in said.splitlines() if "error: " in line]) == 1
    assert not Path("report").exists()


def test_a_report_that_cannot_be_written_is_said_before_anything_is_asked(mini, scenes, tmp_path):
    class Slow(Echo):
        def examine(self, subject, data):
            raise AssertionError("it was asked")

    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        examine(mini, [Slow()], scenes, tmp_path / "file" / "report")


def test_scenes_are_refused_where_a_file_is_given(tmp_path):
    (tmp_path / "test.json").write_text("[]")
    with pytest.raises(UsageError, match="the lens 'echo' needs scenes"):
        Source(tmp_path / "test.json").drawn("echo")
    with pytest.raises(UsageError, match="needs captions; give its file as TEST"):
        Source().content("echo", "captions")


def test_a_model_that_labels_no_pixels_says_so(mini):
    mini.require("echo", "pixels")
    with pytest.raises(UsageError, match="asks about poses"):
        mini.require("echo", "poses")


def test_the_command_says_what_was_found_and_that_photos_mean_nothing(root, tmp_path, capsys):
    photos = [
        {"image": str(root / "demo" / "photos" / name), "name": name[:-4], "box": [10, 10, 90, 90]}
        for name in ("cat.png", "coffee.png")
    ]
    (tmp_path / "photos.json").write_text(json.dumps(photos))
    command = ["check", "mini", str(tmp_path / "photos.json"), "--lens", "calibration", "--device", "cpu"]
    assert main([*command, "--report", str(tmp_path / "report")]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("calibration:\n  regions: ")
    assert said.out.endswith(f"{tmp_path / 'report' / 'index.html'}\n")
    assert "2 of 2 images look like nothing that model 'mini' knows" in said.err
    values = json.loads((tmp_path / "report" / "check.json").read_text())
    assert "these figures mean nothing" in values["note"]
    assert set(values["lenses"]["calibration"]) == {"regions"}  # boxes say nothing of pixels
