"""Pages of answers, by their data and as a browser shows them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from toys.browser import data_of, until

from densevl.api.jobs.pages import write_refer_page, write_search_page
from densevl.core.masks import encode_masks
from densevl.core.regions import Regions
from densevl.tasks.grounding.grounding import Grounding
from densevl.tasks.grounding.phrase import Phrase
from densevl.tasks.search import Hit, IndexedImage


def answer(expression: str, probabilities: list[float]) -> Grounding:
    """Regions in a row, each 20 pixels wide, with masks."""
    masks = torch.zeros(len(probabilities), 60, 100, dtype=torch.bool)
    for index in range(len(probabilities)):
        masks[index, 10:30, 20 * index : 20 * index + 20] = True
    regions = Regions.from_masks(masks)
    values = torch.tensor(probabilities)
    return Grounding(expression, Phrase(expression), regions, {}, None, values.log(), (), values, 0.2, "boxes")


def test_a_page_of_expressions(tmp_path: Path, visit) -> None:
    image = np.zeros((60, 100, 3), np.uint8)
    found = [answer("<b>the ring</b>", [0.1, 0.7, 0.2]), answer("the heart", [0.5, 0.3, 0.2])]
    data = data_of(write_refer_page(tmp_path, "a #1", image, found, "model", top=2))
    assert [item["name"] for item in data["items"]] == ["<b>the ring</b>", "the heart"]
    assert [item["detail"] for item in data["items"]] == ["doubtful", "doubtful"]
    assert [group["name"] for group in data["groups"]] == ["1", "2"], "ranks, no internal numbers"
    (table,) = data["tables"]
    assert [row[:2] for row in table["rows"]] == [[i, rank] for i in range(2) for rank in (1, 2, 3)]
    assert table["rows"][0][2:4] == [pytest.approx(0.7), "(20, 10, 40, 30)"]
    page = visit(tmp_path, fragment="#1")
    page.wait_for_selector("#present li >> nth=1")
    box = page.locator("#viewer img").bounding_box()
    for x, text in ((30, "1 · 70.0 %"), (50, "2 · 20.0 %")):
        page.mouse.move(box["x"] + x / 100 * box["width"], box["y"] + box["height"] / 3)
        until(page, "text => document.getElementById('tip').innerText.trim() === text", text)


def test_a_page_of_hits(tmp_path: Path, visit) -> None:
    mask = np.zeros((60, 100), bool)
    mask[10:30, 20:40] = True
    code = encode_masks(torch.from_numpy(mask)[None])[0]["counts"]
    for name in ("a b.png", "ä#.png"):
        Image.fromarray(np.full((60, 100, 3), 90, np.uint8)).save(tmp_path / name)
    places = [IndexedImage(str(tmp_path / name), (60, 100)) for name in ("a b.png", "ä#.png", "gone.png")]
    moved = IndexedImage(places[0].path, (30, 30))
    hits = [Hit(0.9 - i / 10, place, (20.0, 10.0, 40.0, 30.0), None, code, i) for i, place in enumerate(places)]
    found = {"ring": hits, "<i>heart</i>": [hits[0], Hit(0.1, moved, (0.0, 0.0, 9.0, 9.0), None, "", 3)], "none": []}
    data = data_of(write_search_page(tmp_path / "out", found, "5 regions"))
    assert [(group["name"], group["detail"]) for group in data["groups"]] == [
        ("ring", "3"),
        ("<i>heart</i>", "2"),
        ("none", "0"),
    ]
    assert [item["name"] for item in data["items"]] == ["a b.png", "ä#.png", "a b.png"]
    (table,) = data["tables"]
    assert [row[:2] for row in table["rows"]] == [[0, 1], [0, 2], [0, 3], [1, 1], [1, 2]]
    assert table["rows"][2][3] is None, "what cannot be read is in the table alone"
    assert len(list((tmp_path / "out/page/pictures").rglob("*.jpg"))) == 2, "an image is written once"
    page = visit(tmp_path / "out")
    until(page, "[...document.images].every(one => one.naturalWidth === 100)")
    page.select_option("#order", "score, least first")
    page.click("#legend li:nth-child(2) button")
    page.click("#tabs button:nth-child(2)")
    assert page.locator("tbody tr").count() == 5
