"""The pages of the methods of tuning are those of their entries and of the measured table."""

import runpy

import pytest
from toys.pages import ROOT

from densevl.core.files import read_json

METHOD = {
    "title": "Some method",
    "paper": "Somebody, Something, 2024",
    "reference": "some/code@0123456",
    "licence": "",
    "equation": ["W = U diag(s) Vᵀ"],
    "differs": ["Something differs."],
    "settings": {"tunables": [{"type": "singular-values"}], "losses": [{"type": "cross-entropy", "weight": 0.5}]},
    "published": {"mean of 11 sets, 16 shots": 82.97},
}


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(ROOT / "docs" / "tuning.py"))


def test_pages_and_navigation_are_up_to_date(script):
    for file, text in script["texts"]().items():
        assert file.is_file(), f"python docs/tuning.py makes {file.name}"
        assert file.read_text(encoding="utf-8") == text, f"python docs/tuning.py makes {file.name} anew"


def test_there_is_no_page_of_a_method_that_is_none():
    pages = {page.stem for page in (ROOT / "docs" / "tuning").glob("*.md")} - {"index"}
    assert pages == set(read_json(ROOT / "densevl" / "data" / "tuning.json"))


def test_a_page_says_what_the_entry_and_the_table_say(script):
    page = script["page"]("some", METHOD, {"s": 12.0, "base": {"mean": 71.25, "deviation": 1.0}}, ["base", "s"])
    assert page.startswith("# Some method\n")
    assert "W = U diag(s) Vᵀ" in page
    assert "some/code@0123456 (no licence file)" in page
    assert "`cross-entropy` (weight 0.5)" in page
    assert "| 71.2 ± 1.0 | 12.0 |" in page
    assert "| mean of 11 sets, 16 shots | 82.97 |" in page
    assert "On scenes" not in script["page"]("some", METHOD, None, [])


def test_methods_without_a_page_stand_first_in_the_table(script):
    lines = script["table"]({"some": METHOD}, {"text": {"base": 52.0}}, ["base"]).splitlines()
    assert lines[2:] == ["| text | 52.0 |", "| [Some method](some.md) | – |"]
