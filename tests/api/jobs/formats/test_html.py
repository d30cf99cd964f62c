"""The page of label maps, by its data and as a browser shows it."""

from pathlib import Path

import numpy as np
from toys.browser import data_of, until

from densevl.api.jobs.formats.html import HtmlFormat
from densevl.api.jobs.formats.record import ImageRecord
from densevl.core.labelmap import LabelMap
from densevl.core.vocabulary import Vocabulary


def test_a_page_of_label_maps(tmp_path: Path, visit) -> None:
    words = Vocabulary.from_classes(["grass", "<b>brick</b>", "cat"])
    labels = np.zeros((60, 100), int)
    labels[:, 75:] = 1
    best = np.full((60, 100), 0.9, np.float32)
    page, image = HtmlFormat(), np.full((60, 100, 3), 200, np.uint8)
    names = ("day1/cat", 'a\'s "b" #1')
    records = [
        ImageRecord.of(LabelMap(labels, words, image, known), name, name)
        for name, known in zip(names, (best, None), strict=True)
    ]
    lost = ImageRecord.of(LabelMap(labels, words, image), "lost", "lost")
    for record in records:
        page.write(tmp_path, record)
        assert all((tmp_path / file).is_file() for file in page.files(record))
    page.join(tmp_path, iter([*records, lost]), words)
    data = data_of(tmp_path / "index.html")
    assert data["note"] == "2 images"
    assert [item["detail"] for item in data["items"]] == ["grass, <b>brick</b>"] * 2
    areas, classes = data["tables"]
    assert areas["rows"] == [[0, 0, 0.75, 0.9], [0, 1, 0.25, 0.9], [1, 0, 0.75, None], [1, 1, 0.25, None]]
    assert classes["rows"] == [[0, 0.75, 2], [1, 0.25, 2]]
    shown = visit(tmp_path)
    until(shown, "[...document.images].every(one => one.naturalWidth === 100)")
    assert shown.locator("#legend li span").all_text_contents() == ["grass", "<b>brick</b>", "cat"]
    box = shown.locator(".card img >> nth=0").bounding_box()
    shown.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + box["height"] / 2)
    until(shown, "name => document.querySelector('#legend li.under')?.innerText.startsWith(name)", "<b>brick</b>")
    shown.click("#tabs >> text=Classes")
    assert shown.locator("tbody tr").count() == 2
