import json

import pytest
import torch

from densevl.benchmarks.report import Report
from densevl.core.failures import Failure
from densevl.metrics.confusion import scores_of


def report(**changes) -> Report:
    values = {
        "config": "maskclip_x",
        "model": "maskclip",
        "protocol": {"encoder": "ViT-B-16@abc", "window": 448, "refiners": []},
        "dataset": "x",
        "source": "data/x",
        "images": 4,
        "expected": 4,
        "scores": scores_of(
            torch.tensor([[3, 1, 0], [0, 4, 0], [0, 0, 0]]), ["cat", "dog", "red fox"], {"pets": [0, 1]}
        ),
        "failures": [],
        "seconds": 1.23456,
    }
    return Report(**{**values, **changes})


def test_a_whole_benchmark_has_no_caveat():
    assert report().caveats == []
    assert report(expected=None).caveats == []


def test_text():
    text = str(report())
    assert "mIoU 77.50  mAcc 87.50  aAcc 87.50  (over 2 classes, 1 of 3 never occur)" in text
    assert "mIoU of pets: 77.50" in text
    assert "red fox      –      –   0.00%" in text
    assert "refiners  none" in text


@pytest.mark.parametrize(
    ("changes", "caveat"),
    [
        ({"failures": [Failure("a.jpg", "empty")]}, "INVALID: 1 of 4 images"),
        ({"expected": 9}, "4 of the benchmark's 9 images"),
        ({"protocol": {"encoder": "ViT-B-16@random:0"}}, "random weights"),
        ({"expected": 4, "protocol": {"encoder": "mini-clip@94691bf68e1f"}}, "the mini CLIP knows drawn scenes alone"),
    ],
)
def test_caveats(changes, caveat):
    changed = report(**changes)
    assert changed.caveats[0].startswith(caveat)
    assert caveat in str(changed)
    assert changed.as_dict()["caveats"] == changed.caveats


def test_json_has_no_nan(tmp_path):
    report().save(tmp_path / "a" / "results.json")
    saved = json.loads((tmp_path / "a" / "results.json").read_text(), parse_constant=pytest.fail)
    assert saved["scores"]["classes"][2]["IoU"] is None
    assert saved["scores"]["absent"] == ["red fox"]
    assert saved["seconds"] == 1.235


def test_nested_protocols_are_read_as_text():
    shown = str(
        report(protocol={"parts": [{"encoder": "a", "weights": {"crop": 1.0}}, {"encoder": "b"}], "sizes": [1, 2]})
    )
    assert "parts   encoder a, weights crop 1.0; encoder b" in shown
    assert "sizes   1, 2" in shown
