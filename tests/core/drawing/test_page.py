"""The page of pictures: its files by themselves, and what a browser makes of them."""

import json
import re
import shutil
import time
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from toys.browser import until

from densevl.core.drawing.page import (
    SCREEN,
    Item,
    Legend,
    Page,
    Region,
    Table,
    layer_link,
    picture_of,
    write_labels,
    write_picture,
    write_regions,
)
from densevl.core.images import read_image

NAMES = ("day1/cat", "<script>alert(1)</script>", "a \"b\" 'c'", "50%25 #1?", "ä 猫 & co", "{{script}} $title \\u003c")
"""Names of images and classes that would do harm where they were taken for something else."""

COLOURS = ((220, 40, 40), (40, 100, 225), (40, 160, 65), (245, 210, 35), (135, 60, 190), (20, 160, 160))

STRIPES = {(*colour, 255) for colour in COLOURS[:3]} | {(0, 0, 0, 0)}
"""What a canvas has of :func:`labels`, colours with their opacity."""

NAMED = "name => document.getElementById('tip').innerText.trim() === name"


def labels(height: int = 60, width: int = 80) -> np.ndarray:
    """Stripes of the classes 0, 1 and 2, and an unlabelled one."""
    return np.repeat([0, 1, 2, -1], width // 4)[None].repeat(height, 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with pictures and classes of difficult names."""
    out = tmp_path_factory.mktemp("a folder #1 100%")
    items, rows = [], []
    for index, name in enumerate(NAMES):
        picture = write_picture(out, name, np.full((60, 80, 3), 40 * index, np.uint8))
        link = write_labels(out, name, labels())
        items.append(Item(name, picture, {"labels": link}, f"image {index}", (float(-index),)))
        rows += [(index, group, (group + 1) / 10, 10 - index) for group in range(3)]
    columns = (("image", "item"), ("class", "group"), ("area", "share"), ("count", "number"))
    groups = [Legend(name, colour, "5 %") for name, colour in zip(NAMES, COLOURS, strict=True)]
    Page("A & <b>", "note", "classes", groups, items, [Table("Areas", columns, rows)], values=("worth",)).write(out)
    return out


def data_of(text: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])


def layer_of(path: Path) -> dict:
    text = path.read_text(encoding="ascii")
    return json.loads(text[text.index("] = ") + 4 : text.rindex(";")])


def test_every_link_is_relative_and_leads_to_a_file(folder: Path) -> None:
    text = (folder / "index.html").read_text(encoding="utf-8")
    assert "://" not in text
    assert "<title>A &amp; &lt;b&gt;</title>" in text
    assert len(re.findall("<script", text)) == 2, "no name is markup"
    data = data_of(text)
    assert [item["name"] for item in data["items"]] == list(NAMES)
    assert [group["name"] for group in data["groups"]] == list(NAMES)
    for item in data["items"]:
        for link in (item["picture"], item["thumb"], *item["layers"].values()):
            assert not link.startswith("/")
            assert (folder / unquote(link)).is_file()
            assert re.fullmatch(r"[\w./%~-]+", link, re.ASCII)


def test_layers_are_runs_of_the_labels(tmp_path: Path) -> None:
    whole = np.random.default_rng(0).integers(-1, 3, (7, 9))
    layer = layer_of(tmp_path / unquote(write_labels(tmp_path, "x", whole)))
    values, lengths = np.array(layer["runs"]).reshape(-1, 2).T
    np.testing.assert_array_equal(np.repeat(values, lengths).reshape(layer["size"]) - 1, whole)
    assert (values[1:] != values[:-1]).all()


def test_what_was_written_can_be_named_again(tmp_path: Path) -> None:
    image = np.zeros((9, 12, 3), np.uint8)
    assert picture_of("a/b c", (9, 12)) == write_picture(tmp_path, "a/b c", image)
    assert layer_link("a/b c") == write_labels(tmp_path, "a/b c", np.zeros((9, 12), int))


@pytest.mark.parametrize("size", [(3000, 40), (40, 3000), (1, 1), (2000, 1500)])
def test_large_images_are_written_in_the_size_of_a_screen(tmp_path: Path, size: tuple[int, int]) -> None:
    picture = write_picture(tmp_path, "x", np.zeros((*size, 3), np.uint8))
    large = read_image(tmp_path / picture.picture)
    assert large.shape[:2] == picture.size
    assert max(picture.size) == min(SCREEN, max(size))
    layer = layer_of(tmp_path / write_labels(tmp_path, "x", np.zeros(size, int)))
    assert tuple(layer["size"]) == picture.size
    assert sum(layer["runs"][1::2]) == np.prod(picture.size)
    whole = Region(0, (0.0, 0.0, float(size[1]), float(size[0])), "1")
    boxed = layer_of(tmp_path / write_regions(tmp_path, "x", size, [whole]))
    np.testing.assert_allclose(boxed["regions"][0]["box"], [0, 0, *reversed(picture.size)], rtol=0.02)


def test_a_page_without_pictures(tmp_path: Path, visit) -> None:
    Page("t", "n", "l", (), (), [Table("Scores", (("class", "text"),), [["sky"]])]).write(tmp_path)
    page = visit(tmp_path)
    assert page.inner_text("td") == "sky"
    assert not page.is_visible("#layers")


COLOURS_OF = """place => {
    const canvas = document.querySelector(place), seen = new Set();
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width || 1, canvas.height || 1);
    for (let i = 0; i < data.length; i += 4) seen.add(data.slice(i, i + 4).join());
    return [...seen];
}"""
"""Colours with their opacity of a canvas."""


def until_colours(page, place: str, shown: set[tuple[int, ...]], hidden: set[tuple[int, ...]] | None = None) -> None:
    """Wait until a canvas has these colours; and none of those of ``hidden``, by default no others."""
    end = time.monotonic() + 10
    while True:
        seen = {tuple(map(int, text.split(","))) for text in page.evaluate(COLOURS_OF, place)}
        if seen == shown if hidden is None else shown <= seen and not hidden & seen:
            return
        assert time.monotonic() < end, seen
        time.sleep(0.02)


def test_layers_are_drawn_and_classes_switched(folder: Path, visit) -> None:
    page = visit(folder)
    assert page.inner_text("h1") == "A & <b>"
    assert [page.inner_text(f".card >> nth={i} >> .name") for i in range(len(NAMES))] == list(NAMES)
    until_colours(page, ".card canvas", STRIPES)
    page.click("#legend li:nth-child(2) button")
    assert page.get_attribute("#legend li:nth-child(2) button", "aria-pressed") == "false"
    until_colours(page, ".card canvas", STRIPES - {(*COLOURS[1], 255)})
    page.dblclick("#legend li:nth-child(3) button")
    until_colours(page, ".card canvas", {(*COLOURS[2], 255), (0, 0, 0, 0)})
    page.click("#every")
    until_colours(page, ".card canvas", STRIPES)


def test_labels_are_shown_and_hidden_and_fade(folder: Path, visit) -> None:
    page = visit(folder)
    style = "canvas => [getComputedStyle(canvas).visibility, getComputedStyle(canvas).opacity]"
    assert page.eval_on_selector(".card canvas", style) == ["visible", "0.55"]
    page.locator("#opacity").fill("20")
    assert page.eval_on_selector(".card canvas", style) == ["visible", "0.2"]
    page.click("#overlay")
    assert page.eval_on_selector(".card canvas", style)[0] == "hidden"
    page.keyboard.press("l")
    assert page.eval_on_selector(".card canvas", style)[0] == "visible"


def test_the_class_under_the_pointer_is_named(folder: Path, visit) -> None:
    page = visit(folder, fragment="#2")
    page.wait_for_selector("#present li >> nth=2")
    box = page.locator("#viewer img").bounding_box()
    for group in range(3):
        page.mouse.move(box["x"] + (group + 0.5) * box["width"] / 4, box["y"] + box["height"] / 2)
        until(page, "name => document.getElementById('tip').innerText.trim() === name", NAMES[group].strip())
        assert page.locator("#present li.under").inner_text() == NAMES[group]
    page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + box["height"] / 2)
    page.wait_for_selector("#tip", state="hidden")
    page.click("#present li:first-child button")
    page.mouse.move(box["x"] + 0.1 * box["width"], box["y"] + box["height"] / 2)
    page.wait_for_timeout(80)
    assert page.is_hidden("#tip"), "what is hidden has no name"


def test_pictures_are_turned_over_by_keys(folder: Path, visit) -> None:
    page = visit(folder)
    page.locator(".card >> nth=0").focus()
    page.keyboard.press("Enter")
    for key, name in (("ArrowRight", NAMES[1]), ("ArrowRight", NAMES[2]), ("ArrowLeft", NAMES[1])):
        page.keyboard.press(key)
        until(page, "name => document.getElementById('caption').textContent.startsWith(name)", name)
        until(page, "document.querySelector('#viewer img').naturalWidth === 80")
    page.keyboard.press("Escape")
    page.wait_for_selector("#viewer", state="hidden")
    until(page, "name => document.activeElement.title === name", NAMES[1])


def test_tables_are_sorted_and_searched(folder: Path, visit) -> None:
    page = visit(folder)
    page.click("#tabs button:nth-child(2)")
    assert page.is_hidden("#gallery")
    rows = lambda: [row.split("\t") for row in page.locator("tbody tr").all_inner_texts()]  # noqa: E731
    assert len(rows()) == 3 * len(NAMES)
    page.click("th:nth-child(3) button")
    assert [row[2] for row in rows()] == sorted((row[2] for row in rows()), reverse=True)
    assert page.get_attribute("th:nth-child(3)", "aria-sort") == "descending"
    page.click("th:nth-child(4) button")
    page.click("th:nth-child(4) button")
    assert [int(row[3]) for row in rows()] == sorted(int(row[3]) for row in rows())
    page.fill("#find", "猫")
    assert {row[0] for row in rows()} == {NAMES[4]}
    page.click("tbody a >> nth=0")
    until(page, "name => document.getElementById('caption').textContent.startsWith(name)", NAMES[4])


def test_the_gallery_is_searched_and_ordered(folder: Path, visit) -> None:
    page = visit(folder)
    page.select_option("#order", "worth, least first")
    assert page.locator(".card .name").all_text_contents() == list(NAMES[::-1])
    page.fill("#find", "ALERT")
    assert page.locator(".card .name").all_text_contents() == [NAMES[1]]
    page.fill("#find", "nowhere")
    assert page.is_visible("#nothing")


def test_the_folder_can_be_moved(folder: Path, tmp_path: Path, visit) -> None:
    shutil.copytree(folder, tmp_path / "moved")
    page = visit(tmp_path / "moved")
    until(page, "[...document.images].every(one => one.naturalWidth === 80)")
    until_colours(page, ".card:last-child canvas", STRIPES)


def test_a_phone_shows_all_of_it(folder: Path, visit) -> None:
    page = visit(folder, 360, 700, has_touch=True, color_scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 27)"
    page.locator(".card >> nth=1").tap()
    page.wait_for_selector("#present li")
    box = page.locator("#viewer img").bounding_box()
    assert box["width"] <= 360
    page.touchscreen.tap(box["x"] + box["width"] / 8, box["y"] + box["height"] / 2)
    until(page, NAMED, NAMES[0])
    page.click("#close")
    page.click("#theme")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(251, 251, 250)"


def test_regions_are_drawn_and_named(tmp_path: Path, visit) -> None:
    mask = np.zeros((100, 100), bool)
    mask[20:40, 20:40] = True
    regions = [Region(1, (10.0, 10.0, 90.0, 90.0), "2"), Region(0, (20.0, 20.0, 50.0, 50.0), "1 · 93.2 %", mask)]
    picture = write_picture(tmp_path, "x", np.zeros((100, 100, 3), np.uint8))
    items = [Item("x", picture, {"regions": write_regions(tmp_path, "x", (100, 100), regions)})]
    groups = [Legend(name, colour) for name, colour in zip("12", COLOURS, strict=False)]
    Page("t", "n", "ranks", groups, items, layers=("regions",), areas=False).write(tmp_path)
    page = visit(tmp_path, fragment="#1")
    until_colours(page, "#viewer canvas", {(*COLOURS[0], 255), (*COLOURS[1], 255)}, hidden=set())
    box = page.locator("#viewer img").bounding_box()
    for place, text in ((0.35, "1 · 93.2 %"), (0.47, "2"), (0.8, "2")):
        page.mouse.move(box["x"] + place * box["width"], box["y"] + 0.35 * box["height"])
        until(page, NAMED, text)
    page.click("#present li:nth-child(2) button")
    until_colours(page, "#viewer canvas", {(*COLOURS[0], 255)}, hidden={(*COLOURS[1], 255)})


def test_a_thousand_pictures_open_fast(tmp_path: Path, visit) -> None:
    picture = write_picture(tmp_path, "x", np.zeros((60, 80, 3), np.uint8))
    link = write_labels(tmp_path, "x", labels())
    items = []
    for index in range(1000):
        for kind, suffix in (("pictures", "jpg"), ("thumbs", "jpg"), ("labels", "js")):
            source = tmp_path / "page" / kind
            (source / f"{index}.{suffix}").hardlink_to(source / f"x.{suffix}")
        items.append(Item(f"image {index}", picture_of(str(index), picture.size), {"labels": link}))
    rows = [(index, group, 0.1) for index in range(1000) for group in range(10)]
    groups = [Legend(f"kind {index}", COLOURS[index % 6]) for index in range(10)]
    columns = (("image", "item"), ("class", "group"), ("area", "share"))
    Page("t", "n", "classes", groups, items, [Table("Areas", columns, rows)]).write(tmp_path)
    start = time.perf_counter()
    page = visit(tmp_path)
    until(page, "document.querySelector('.card img').naturalWidth > 0")
    assert time.perf_counter() - start < 8
    assert page.locator(".card").count() == 1000
    loaded = "[...document.images].filter(one => one.complete && one.naturalWidth).length"
    assert page.evaluate(loaded) < 300, "pictures load when they come into view"
    page.click("#tabs button:nth-child(2)")
    assert page.locator("tbody tr").count() < 500, "rows come as they are scrolled to"
