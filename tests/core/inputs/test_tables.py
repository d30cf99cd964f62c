"""Tables that name images or hold them."""

import json
import pickle
import sys

import pytest
from core.inputs.grey import png

from densevl.core.errors import ImageError, UsageError
from densevl.core.files import InputFile
from densevl.core.inputs import BrokenInput, find_inputs, open_input
from densevl.core.inputs.parquet_tables import ROWS, ParquetTable
from densevl.core.inputs.urls import WebImage

pytest.importorskip("pyarrow")
import pyarrow
from pyarrow import parquet


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with photos; the current folder is another one."""
    for value, name in enumerate(["photos/a.png", "photos/day1/b.png"]):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(png(value))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path


def save(path, columns, rows_of_a_group=None):
    parquet.write_table(pyarrow.table(columns), path, row_group_size=rows_of_a_group)
    return path


def write(folder, kind, column, values):
    """A table of one kind with a column before the one that matters."""
    path = folder / f"photos.{kind}"
    if kind == "parquet":
        return save(path, {"caption": ["x"] * len(values), column: values})
    if kind == "jsonl":
        path.write_text("".join(json.dumps({"caption": "x", column: value}) + "\n" for value in values))
    else:
        mark = "\t" if kind == "tsv" else ","
        lines = [mark.join(["caption", column]), *(mark.join(['"x"', value or ""]) for value in values)]
        path.write_text("\n".join(lines), encoding="utf-8-sig")
    return path


@pytest.mark.parametrize("kind", ["parquet", "csv", "tsv", "jsonl"])
@pytest.mark.parametrize("column", ["image", "path", "URL", "file_name"])
def test_rows_name_images_by_paths_and_urls(here, kind, column):
    values = ["photos/a.png", str(here / "photos/day1/b.png"), "https://h/c.jpg", "photos/none.png", None]
    found = find_inputs([write(here, kind, column, values)])
    assert [item.relative for item in found[:4]] == ["photos/a", "photos/day1/b", "c", "photos/none"]
    assert [type(item) for item in found] == [InputFile, InputFile, WebImage, InputFile, BrokenInput]
    assert [int(item.read().max()) for item in found[:2]] == [0, 1]
    with pytest.raises(ImageError, match=rf"row 4 of .*photos\.{kind} has nothing in the column '{column}'"):
        found[4].read()
    with pytest.raises(ImageError, match=r"none\.png"):
        found[3].read()


def pictures(form, count):
    """A column of images in the form of some tool."""
    data = [png(value) for value in range(count)]
    if form == "datasets":
        return {"image": [{"bytes": one, "path": f"day{i % 2}/{i}.png"} for i, one in enumerate(data)]}
    if form == "img2dataset":
        return {"url": ["https://h/a.jpg"] * count, "key": [f"{i:09}" for i in range(count)], "jpg": data}
    return {"image": data}


@pytest.mark.parametrize(
    ("form", "names", "column"),
    [
        ("datasets", ["day0/0", "day1/1"], "image"),
        ("img2dataset", ["000000000", "000000001"], "jpg"),
        ("plain", ["000000", "000001"], "image"),
    ],
)
def test_rows_hold_images(here, form, names, column):
    count = 70
    path = save(here / "all.parquet", pictures(form, count), 30)
    found = find_inputs([path])
    assert len(found) == count
    assert [item.relative for item in found[:2]] == names
    for value in (0, 1, 3, 2, 29, 30, 31, 69, 5, 4, 68):
        assert (found[value].read() == value).all()
    assert found[3].place == f"{path}/{column}/000003"
    again = open_input(found[3].place)
    assert again.place == found[3].place
    assert again.state() == found[3].state() != found[4].state()
    assert (again.read() == 3).all()
    assert isinstance(open_input(f"{path}/{column}/000070"), BrokenInput)
    first, second = (pickle.loads(pickle.dumps(item)) for item in found[:2])
    assert first.table is second.table
    assert (second.read() == 1).all()


def test_a_file_is_read_once_and_a_few_rows_are_held(here):
    """Threads that come a little out of order make nothing be read again."""
    rows = 15 * ROWS
    table = ParquetTable(save(here / "all.parquet", pictures("plain", rows), rows))
    begun = []
    values = table._values
    object.__setattr__(table, "_values", lambda group: (begun.append(group), values(group))[1])
    images = [image for image, _ in table.images()]
    order = [i ^ 1 for i in range(rows)]  # 1, 0, 3, 2 …
    assert all((images[row].read() == row).all() for row in order)
    assert begun == [0]
    assert sum(len(held) for _, held in table._held) <= 3 * ROWS


def test_names_that_lead_out_or_come_twice(here):
    data = [{"bytes": png(1), "path": path} for path in ("../evil.png", "/etc/evil.png", "a.png", "a.png", None)]
    found = find_inputs([save(here / "all.parquet", {"image": data})])
    names = [item.relative for item in found]
    assert len(set(names)) == 5
    assert not any(name.startswith("/") or ".." in name for name in names)
    assert names[:2] == ["000000", "000001"]


def test_a_row_without_an_image_fails_alone(here):
    data = [None, {"bytes": None, "path": "a.png"}, {"bytes": png(2), "path": None}, {"bytes": b"no", "path": "b.png"}]
    found = find_inputs([save(here / "all.parquet", {"image": data})])
    assert (found[2].read() == 2).all()
    for row, message in ((0, "has no image"), (1, r"no image, but the path 'a.png'; name that file"), (3, "image")):
        with pytest.raises(ImageError, match=message):
            found[row].read()


def test_the_column_may_be_named(here):
    table = {"image": [1, 2], "left": ["photos/a.png", "photos/day1/b.png"], "right": [png(5), png(6)]}
    path = save(here / "all.parquet", table)
    assert [item.relative for item in find_inputs([path], column="left")] == ["photos/a", "photos/day1/b"]
    found = find_inputs([path], column="right")
    assert [int(open_input(item.place).read().max()) for item in found] == [5, 6]
    with pytest.raises(UsageError, match=r"'image' of .* has values of the kind int64; images are texts .*--column"):
        find_inputs([path])
    with pytest.raises(UsageError, match=r"has no column 'lef'; did you mean left"):
        find_inputs([path], column="lef")


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_without_a_known_column_all_are_named(here, kind):
    with pytest.raises(UsageError, match=r"has the columns 'caption', 'pic', and none is called image, jpg.* --column"):
        find_inputs([write(here, kind, "pic", ["a.png"])])


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.parquet", b"PAR1 no"), ("a.csv", b"\xff\xfe\x00"), ("a.jsonl", b"\xff"), ("none.parquet", None)],
)
def test_a_table_that_cannot_be_read_stops_nothing(here, name, content):
    if content is not None:
        (here / name).write_bytes(content)
    [item, other] = find_inputs([here / name, here / "photos/a.png"]) if content else [None, None]
    if content is None:
        with pytest.raises(UsageError, match="no such file"):
            find_inputs([here / name])
        return
    with pytest.raises(ImageError, match=f"the table .*{name} cannot be read"):
        item.read()
    assert (other.read() == 0).all()


def test_lines_that_are_no_json_fail_alone(here):
    path = here / "a.jsonl"
    path.write_text('{"image": "photos/a.png"}\nnonsense\n[1]\n\n{"image": 3}\n')
    first, *bad = find_inputs([path])
    assert (first.read() == 0).all()
    for item, message in zip(bad, ("line 2 of .* no JSON", "line 3 of .* no JSON object", "has 3, which"), strict=True):
        with pytest.raises(ImageError, match=message):
            item.read()


def test_globs_and_lists_name_tables(here):
    save(here / "x-1.parquet", {"path": ["photos/a.png"]})
    save(here / "x-2.parquet", {"path": ["photos/day1/b.png"]})
    (here / "list.txt").write_text("x-1.parquet\n")
    assert len(find_inputs([str(here / "x-*.parquet")])) == 2
    assert len(find_inputs([str(here / "x-{1..2}.parquet")])) == 2
    assert [item.relative for item in find_inputs([f"@{here / 'list.txt'}"])] == ["photos/a"]
    with pytest.raises(UsageError, match="x-3"):
        find_inputs([str(here / "x-{1..3}.parquet")])


def test_offline_urls_of_tables_are_refused(here):
    with pytest.raises(UsageError, match="must not be used offline"):
        find_inputs([write(here, "csv", "url", ["https://h/a.jpg"])], offline=True)


def test_without_pyarrow_the_cure_is_said(here, monkeypatch):
    path = save(here / "a.parquet", {"path": ["photos/a.png"]})
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    monkeypatch.delattr(pyarrow, "parquet", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"pip install 'densevl\[parquet\]'"):
        find_inputs([path])
