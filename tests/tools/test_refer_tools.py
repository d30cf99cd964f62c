"""``tools/convert_refer.py`` and ``tools/test.py`` as their users run them."""

import json
import runpy
import subprocess
import sys
from dataclasses import replace

import pytest

from densevl.datasets.referring.annotations import read_annotations


@pytest.fixture
def convert(root, monkeypatch, capsys):
    """Run the script with arguments; its exit code and what it printed."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["convert_refer.py", *map(str, arguments)])
        code = runpy.run_path(str(root / "tools" / "convert_refer.py"))["main"]()
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_converting(convert, toy, tmp_path):
    code, out, _ = convert(toy.official(tmp_path), "--out", tmp_path / "new" / "toy.jsonl")
    assert code == 0
    assert out.startswith("refcoco (unc), 4 images; expressions: val ")
    assert out.endswith(f"written: {tmp_path / 'new' / 'toy.jsonl'}\n")
    assert len(read_annotations(tmp_path / "new" / "toy.jsonl").images) == 4


def test_what_is_refused(convert, toy, tmp_path):
    path = toy.official(tmp_path)
    assert convert(path, "--splits-by", "umd")[2].startswith("error: there is no benchmark 'refcoco' split by 'umd'")
    path.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    code, out, error = convert(path)
    assert (code, out) == (2, "")
    assert error.startswith(f"error: {path} asks for os.system, which might run code")
    assert not path.with_name("refcoco_unc.jsonl").exists()


@pytest.mark.slow
def test_two_processes_give_the_figures_of_one(root, toy, tmp_path):
    """Three images on two processes: one of them has one more."""
    refs = tmp_path / "refer"
    toy.save_pictures(refs / "train2014")
    replace(toy, refs=[{**ref, "split": "val"} for ref in toy.refs]).official(refs)
    options = [f"data_root={refs}", "model.model=mini", "test_dataloader.num_workers=0", "--limit", "3"]
    command = [str(root / "tools" / "test.py"), "fgvp_refcoco", "--cfg-options", *options]
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29631"]
    for name, start, end in (("one", [], []), ("two", launch, ["--launcher", "pytorch"])):
        arguments = [sys.executable, *start, *command, "--work-dir", str(tmp_path / name), *end]
        done = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
    one, two = (json.loads((tmp_path / name / "results.json").read_text())["scores"] for name in ("one", "two"))
    assert one == two
    assert one["expressions"] > 3
