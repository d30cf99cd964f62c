"""Lenses in an evaluation: what they see, what they leave alone, and the way to them from the command line."""

import json
import os
import subprocess
import sys

import pytest
from mmengine.structures import BaseDataElement
from toys.pages import ROOT, blocks

from densevl.benchmarks.lenses.answers import ANSWER_LENSES, hook
from densevl.benchmarks.lenses.answers.contracts import Section
from densevl.benchmarks.lenses.answers.hardest import Hardest
from densevl.benchmarks.lenses.answers.hook import LensHook
from densevl.benchmarks.run import evaluate
from densevl.cli import main
from densevl.core.config_files import parse_options
from densevl.core.errors import UsageError

QUICK = ["weights=random:0", "test_dataloader.num_workers=0", "model.templates=none", "test_dataloader.dataset.size=64"]
SCENES = parse_options(QUICK)


class Order:
    """The numbers of the samples in the order in which they came to the section."""

    name = "order"

    def measure(self, sample):
        return sample["number"]

    def section(self, found, facts):
        return Section({"numbers": list(found), **facts}, [])


def sample(index, **more):
    return BaseDataElement(metainfo={"sample_idx": index, "number": 10 * index, **more})


def test_sections_are_in_the_order_of_the_data_set_without_failures():
    shown = LensHook([Order()])
    shown.after_test_iter(None, 0, outputs=[sample(3), sample(0)])
    shown.after_test_iter(None, 1, outputs=[sample(2), sample(1, failure="gone")])
    assert shown.sections({"classes": 5})["order"].values == {"numbers": [0, 20, 30], "classes": 5}


def test_two_processes_show_what_one_does(monkeypatch):
    one, first, second = (LensHook([Order()]) for _ in range(3))
    one.after_test_iter(None, 0, outputs=[sample(index) for index in range(5)])
    first.after_test_iter(None, 0, outputs=[sample(index) for index in (0, 2, 4)])
    second.after_test_iter(None, 0, outputs=[sample(index) for index in (1, 3)])
    expected = one.sections({})
    monkeypatch.setattr(hook, "gathered", lambda items: [*first._found["order"], *second._found["order"]])
    assert first.sections({}) == second.sections({}) == expected


def test_no_image_is_no_section():
    assert LensHook([Order()]).sections({}) == LensHook([]).sections({}) == {}


@pytest.mark.parametrize(
    ("lenses", "message"),
    [
        (["hardst"], r"lens 'hardst' is unknown; did you mean hardest\? There are .*hardest"),
        (["none-such"], "lens 'none-such' is unknown; there are .*hardest"),
        ([{"type": "hardest", "colour": 1}], "lens 'hardest' cannot be built"),
        ([3], "lens: expected a name, a config with a type, or a built one; got 3"),
        (["hardest", Hardest(count=2)], "the lens 'hardest' is given twice"),
    ],
)
def test_what_is_no_lens_is_refused_before_anything_is_loaded(tmp_path, lenses, message):
    with pytest.raises(UsageError, match=message):
        evaluate("maskclip_scenes", work_dir=tmp_path / "w", lenses=lenses)
    assert not (tmp_path / "w").exists()


def test_a_lens_changes_no_figure_and_reads_the_images_of_the_metric(tmp_path):
    without = evaluate("maskclip_scenes", work_dir=tmp_path / "a", limit=3, options=SCENES)
    report = evaluate(
        "maskclip_scenes", work_dir=tmp_path / "b", limit=3, options=SCENES, lenses=[{"type": "hardest", "count": 2}]
    )
    saved, plain = (json.loads((tmp_path / name / "results.json").read_text()) for name in "ba")
    assert saved["scores"] == plain["scores"] == without.scores.as_dict()
    assert (saved["protocol"], plain["lenses"]) == (plain["protocol"], {})
    values = saved["lenses"]["hardest"]
    assert (values["scored"], len(values["images"])) == (3, 2)
    assert values["mean"] == pytest.approx(report.scores.pixel_accuracy)  # scenes have one size and no ignored pixel
    text = str(report)
    assert text.index("mIoU ") < text.index("\nlens hardest\n2 of 3 images by pixel accuracy") < text.index("*** ")


def test_a_lens_that_fails_leaves_the_scores(tmp_path):
    class Broken(Order):
        def measure(self, sample):
            return 0

        def section(self, found, facts):
            raise UsageError("it cannot be seen")

    with pytest.raises(UsageError, match="it cannot be seen"):
        evaluate("maskclip_scenes", work_dir=tmp_path, limit=1, options=SCENES, lenses=[Broken()])
    assert json.loads((tmp_path / "results.json").read_text())["scores"]["mIoU"] >= 0


def test_an_unknown_lens_of_the_command_line(capsys):
    assert main(["test", "maskclip_scenes", "--lens", "hardest", "--lens", "none-such"]) == 2
    assert (
        capsys.readouterr().err == f"error: lens 'none-such' is unknown; there are {', '.join(ANSWER_LENSES.names)}\n"
    )


def test_the_command_line_takes_shipped_lenses_and_the_plug_in_of_the_page(root, tmp_path):
    page = ROOT / "docs" / "extend" / "lens.md"
    (tmp_path / "confusions.py").write_text(next(block.text for block in blocks(page) if block.language == "python"))
    command = [sys.executable, root / "tools" / "test.py", root / "configs" / "maskclip_scenes.py", "--limit", "3"]
    done = subprocess.run(
        [*command, "--lens", "hardest", "--lens", "confusions", "--work-dir", "w", "--cfg-options", *QUICK],
        cwd=tmp_path,
        env={**os.environ, "DENSEVL_PLUGINS": "confusions", "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    lenses = json.loads((tmp_path / "w" / "results.json").read_text())["lenses"]
    assert list(lenses) == ["hardest", "confusions"]
    files = [entry["image"] for entry in lenses["hardest"]["images"]]
    assert sorted(files) == [f"scenes/{index:06d}.png" for index in range(3)]
    most = lenses["confusions"]["pairs"][0]
    assert f"{most['pixels']:8d}  {most['truth']} → {most['given']}\n" in done.stdout
    assert all(f"  {file}\n" in done.stdout for file in files)
