"""``densevl test`` and ``densevl train``, and the scripts of ``tools/`` that call them."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from densevl.benchmarks import run
from densevl.cli import main
from densevl.core.errors import WeightsError
from densevl.training import train


@pytest.fixture
def evaluations(monkeypatch):
    """The arguments of every evaluation; each finds one failure where its limit is 7."""
    seen = []

    class Report(SimpleNamespace):
        def __str__(self):
            return "the scores"

    def evaluate(config, checkpoint=None, **arguments):
        seen.append({"config": config, "checkpoint": checkpoint, **arguments})
        return Report(failures=["one"] if arguments["limit"] == 7 else [])

    monkeypatch.setattr(run, "evaluate", evaluate)
    return seen


def test_an_evaluation_gets_every_option(evaluations, capsys):
    options = ["--work-dir", "w", "--out", "o", "--show-dir", "s", "--tta", "--limit", "3", "--launcher", "pytorch"]
    assert main(["test", "maskclip_ade", "file.pt", *options, "--cfg-options", "a.b=1", "c=none"]) == 0
    assert capsys.readouterr().out == "the scores\n"
    changes = {"a.b": 1, "c": "none"}
    places = {"work_dir": "w", "out": "o", "show_dir": "s", "config": "maskclip_ade", "checkpoint": "file.pt"}
    given = {**places, "tta": True, "limit": 3, "launcher": "pytorch", "options": changes}
    assert [{**one, "engine": None} for one in evaluations] == [{**given, "engine": None}]
    assert evaluations[0]["engine"].is_here


def test_a_model_is_passed_on_where_it_is_given(evaluations):
    assert main(["test", "ade"]) == 0
    assert main(["test", "ade", "--model", "naclip@siglip-b16", "--local-rank", "1", "--html", "h"]) == 0
    assert "model" not in evaluations[0]
    assert "html" not in evaluations[0]
    assert evaluations[1]["html"] == "h"
    assert evaluations[1]["model"] == "naclip@siglip-b16"
    assert "local_rank" not in evaluations[1]


def test_lenses_are_passed_on_where_they_are_given(evaluations):
    assert main(["test", "ade"]) == 0
    assert main(["test", "ade", "--lens", "hardest", "--lens", "other"]) == 0
    assert [evaluation.get("lenses") for evaluation in evaluations] == [None, ["hardest", "other"]]


def test_images_that_could_not_be_used_are_exit_code_1(evaluations):
    assert main(["test", "ade", "--limit", "7"]) == 1


def test_a_training_gets_every_option(monkeypatch):
    seen = []
    monkeypatch.setattr(train, "train", lambda config, **arguments: seen.append({"config": config, **arguments}))
    assert main(["train", "toy.py"]) == 0
    options = ["--work-dir", "w", "--resume", "--amp", "--launcher", "pytorch", "--cfg-options", "a=1"]
    assert main(["train", "toy.py", *options]) == 0
    assert main(["train", "toy.py", "--resume", "iter_3.pth"]) == 0
    plain = {"config": "toy.py", "work_dir": None, "resume": False, "amp": False, "options": {}, "launcher": "none"}
    second = {"work_dir": "w", "resume": True, "amp": True, "options": {"a": 1}, "launcher": "pytorch"}
    assert seen == [plain, {**plain, **second}, {**plain, "resume": "iter_3.pth"}]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["test", "none_such"], "config 'none_such' is neither a file nor one of"),
        (["test", "maskclip_scenes", "--limit", "0"], "limit must be at least 1"),
        (["test", "maskclip_scenes", "--cfg-options", "a"], "KEY=VALUE"),
        (["train", "none_such"], "config 'none_such' is neither a file nor one of"),
        (["train", "maskclip_scenes"], "does not describe a training"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_exit_code_2(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error


def test_missing_weights_are_exit_code_2_too(monkeypatch, capsys):
    def evaluate(*_, **__):
        raise WeightsError("weights are not here")

    monkeypatch.setattr(run, "evaluate", evaluate)
    assert main(["test", "ade"]) == 2
    assert capsys.readouterr().err == "error: weights are not here\n"


def test_an_interrupted_training_does_not_claim_to_go_on(monkeypatch, capsys):
    def interrupted(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "train", interrupted)
    assert main(["train", "toy.py"]) == 130
    assert capsys.readouterr().err == "densevl: interrupted\n"


@pytest.mark.parametrize("name", ["test", "train"])
def test_tools_are_thin_callers(root, tmp_path, name):
    script = root / "tools" / f"{name}.py"
    assert len(script.read_text().splitlines()) < 10
    done = subprocess.run([sys.executable, script, "none_such"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: config 'none_such'")


@pytest.mark.slow
def test_the_command_runs_under_torchrun_as_alone(tmp_path):
    options = ["test_dataloader.num_workers=0"]
    options += ["test_dataloader.dataset.length=3", "test_dataloader.dataset.size=64"]
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29633"]
    for name, start, end in (("one", [], []), ("two", launch, ["--launcher", "pytorch"])):
        command = [sys.executable, *start, "-m", "densevl", "test", "maskclip_scenes", "--lens", "hardest"]
        command += ["--work-dir", name]
        done = subprocess.run(
            [*command, *end, "--cfg-options", *options], cwd=tmp_path, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("mIoU of grounds") == 1
    one, two = (json.loads((tmp_path / name / "results.json").read_text()) for name in ("one", "two"))
    assert one["scores"] == two["scores"]
    assert one["lenses"] == two["lenses"] != {}
