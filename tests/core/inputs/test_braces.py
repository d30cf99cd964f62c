"""Braces, beside the library that WebDataset expands them with."""

import pytest

from densevl.core.errors import UsageError
from densevl.core.inputs.braces import expand_braces


@pytest.mark.parametrize(
    "argument",
    [
        "s-{000000..000012}.tar",
        "{3..1}",
        "{8..11}/{a,b}.jpg",
        "{08..11}",
        "{1..010}",
        "{00..100}",
        "a{b,c}d{1..2}",
        "plain",
    ],
)
def test_they_stand_for_what_webdataset_takes_them_for(argument):
    assert expand_braces(argument) == list(pytest.importorskip("braceexpand").braceexpand(argument))


def test_a_file_of_that_name_and_braces_without_a_choice_stand_for_themselves(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a{1,2}.png").touch()
    for argument in ("a{1,2}.png", "a{}.png", "a{b}.png", "{a..b}"):
        assert expand_braces(argument) == [argument]


def test_too_many_are_refused_before_they_are_made():
    with pytest.raises(UsageError, match=r"stands for 100000000 names, above the limit of 1000000"):
        expand_braces("{0000..9999}-{0000..9999}.tar")
