"""The pages of the dense heads are those of their entries and of the measured table."""

import json
import runpy

import pytest
from toys.pages import ROOT

from densevl.api.heads import BASELINE, heads


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(ROOT / "docs" / "heads.py"))


def test_pages_and_navigation_are_up_to_date(script):
    for file, text in script["texts"]().items():
        assert file.is_file(), f"python docs/heads.py makes {file.name}"
        assert file.read_text(encoding="utf-8") == text, f"python docs/heads.py makes {file.name} anew"


def test_there_is_no_page_of_a_head_that_is_none():
    pages = {page.stem for page in (ROOT / "docs" / "heads").glob("*.md")} - {"index"}
    assert pages == set(heads())


def test_every_mini_model_has_its_picture():
    drawn = {picture.stem for picture in (ROOT / "docs" / "images" / "heads").glob("*.png")} - {"truth"}
    assert drawn == {name for name, head in heads().items() if head.mini}, "python docs/heads.py --pictures"


def test_the_figures_are_those_of_the_table():
    table = json.loads((ROOT / "docs" / "heads" / "scenes.json").read_text(encoding="utf-8"))
    names = [row["name"] for row in table["rows"]]
    assert heads()[BASELINE].mini in names
    assert set(names) <= {head.mini for head in heads().values()}


def test_a_page_says_what_the_entry_says(script):
    head = heads()["naclip"]
    text = script["page"](head, None)
    assert text.startswith("# NACLIP\n")
    assert head.equation in text
    assert "sinahmr/NACLIP@0cac3a6 (MIT)" in text
    assert "was not measured yet" in text
    assert "| 64.1 | 35.0 | 36.2 | 83.0 | 38.4 | 25.7 | 38.3 | 19.1 | 42.5 |" in text


def test_a_mean_of_some_benchmarks_is_none(script):
    cells = script["published"]({"voc21": 50.0, "ade20k": 20.0}).split(" | ")
    assert cells == ["50.0", "", "", "", "", "", "", "20.0", ""]
    assert script["best_known"](heads()["dinoiser"]) == "40.3 (`clip-vit-b16-laion2b`)"
    assert script["best_known"](heads()["maskclip-reduced"]) == ""
