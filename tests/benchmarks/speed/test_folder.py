"""The benchmark of a folder runs the job itself, with the encoder or a pause in its place."""

import pytest

from densevl.benchmarks.speed.folder import benchmark_folder
from densevl.core.errors import UsageError


def test_a_pause_is_inside_the_encoder_and_only_what_is_chosen_is_measured():
    table = benchmark_folder(count=2, size=(48, 64), sleep=20.0, save=["labels"])
    figures = {name: values[0] for name, values in table.rows}
    assert figures["inside the encoder, ms an image"] >= 20
    assert 0 < figures["inside the encoder, % of the clock"] <= 100
    assert figures["the pauses alone, % of the clock"] <= figures["inside the encoder, % of the clock"]
    assert figures["after the last image, ms"] > 0 < figures["before the first image, ms"]
    assert {"decode, ms", "labels, ms"} <= figures.keys()
    assert "coco, ms" not in figures
    assert "a pause of 20 ms" in str(table)


def test_numbers_below_one_are_refused():
    with pytest.raises(UsageError, match="above 0"):
        benchmark_folder(count=0)
