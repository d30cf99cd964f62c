"""``densevl datasets``."""

import json

from densevl.cli import main


def test_all_of_them(capsys, tmp_path):
    assert main(["datasets", "--data", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "state", "what"]
    assert any(line.startswith("cityscapes ") and " missing " in line for line in lines)
    assert any(line.startswith("scenes ") and " drawn " in line for line in lines)
    assert lines[-1].startswith("densevl datasets NAME says how to get one")


def test_one_in_full(capsys, tmp_path):
    assert main(["datasets", "coco_stuff", "--data", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert f"  3. python tools/convert_labels.py coco_stuff {tmp_path}/coco_stuff164k" in printed
    assert "from:     https://github.com/nightrome/cocostuff" in printed


def test_for_programs(capsys, tmp_path):
    assert main(["datasets", "mess_suim", "--json", "--data", str(tmp_path)]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["state"], found["here"], found["expected"]) == ("missing", False, None)


def test_an_unknown_one(capsys):
    assert main(["datasets", "adee"]) == 2
    assert capsys.readouterr().err.startswith("error: data set 'adee' is unknown; did you mean ade")
