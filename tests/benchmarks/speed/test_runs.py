from pathlib import Path

import pytest
import torch

from densevl.api.models import model_entry
from densevl.benchmarks.speed import benchmark, benchmark_sweep, configured_segmentor
from densevl.core.errors import UsageError


def test_a_model_is_compared_with_the_plain_implementation() -> None:
    report = benchmark("mini", "rule", classes=12, size=(64, 90), count=2, repetitions=1, short_side=64)
    assert list(report.figures) == ["plain float32", "densevl float32", "densevl bfloat16"]
    assert report.figures["densevl float32"].agreement > 0.999
    assert report.figures["densevl bfloat16"].agreement > 0.7
    assert report.setting["classes"] == 12
    assert report.setting["size"] == "64×90"
    assert report.setting["encoder"] == "mini-clip@random:0"


def test_more_classes_than_names() -> None:
    report = benchmark(
        "mini",
        "rule",
        classes=300,
        size=(32, 40),
        dtypes=["float32"],
        count=1,
        repetitions=1,
        window=None,
        short_side=64,
    )
    assert report.figures["densevl float32"].agreement > 0.999


def test_weights_by_rule_are_the_same_every_time() -> None:
    first, second = (configured_segmentor("mini", "rule").state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_protocol_is_that_of_the_model() -> None:
    assert configured_segmentor("mini", "rule").short_side == model_entry("mini").segmentor["short_side"]
    assert configured_segmentor("mini", "rule", window=None).window is None


def test_an_unknown_config() -> None:
    with pytest.raises(UsageError, match="no_such_thing"):
        configured_segmentor("no_such_thing", "rule")


def test_a_sweep_is_drawn(tmp_path: Path) -> None:
    swept = benchmark_sweep(
        "mini",
        "rule",
        classes=(2, 3, 4),
        sizes=((32, 40), (40, 48)),
        count=1,
        repetitions=1,
        dtypes=["float32"],
        short_side=64,
    )
    assert list(swept.by_classes) == [2, 3, 4]
    assert list(swept.by_size) == [(32, 40), (40, 48)]
    swept.save(tmp_path / "cost.png")
    assert (tmp_path / "cost.png").stat().st_size > 1000
    assert str(swept).count("same labels") == 5
