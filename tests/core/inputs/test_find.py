"""Inputs of every kind by arguments."""

import io
import os
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from densevl.core.errors import ImageError, UsageError
from densevl.core.files import InputFile
from densevl.core.inputs import BrokenInput, Input, find_inputs, open_input


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with photos, each of one grey value, an archive of them, and lists; it is the current folder."""
    monkeypatch.chdir(tmp_path)
    for value, name in enumerate(["photos/a.png", "photos/day1/b.png", "other/a.png"], 1):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((2, 3, 3), value, np.uint8)).save(name)
    with tarfile.open("all.tar", "w") as archive:
        archive.add("photos", "photos")
    return tmp_path


def names(arguments, **settings):
    return [item.relative for item in find_inputs(arguments, **settings)]


def test_kinds_come_together_in_order_each_once(here):
    found = find_inputs(["photos/day1", "all.tar", "https://example.org/x/c.jpg?size=2", "photos", "photos/day1/b.png"])
    assert all(isinstance(item, Input) for item in found)
    assert [item.relative for item in found] == ["b", "photos/a", "photos/day1/b", "c", "a"]
    assert [item.place for item in found] == [
        str(here / "photos/day1/b.png"),
        str(here / "all.tar/photos/a.png"),
        str(here / "all.tar/photos/day1/b.png"),
        "https://example.org/x/c.jpg?size=2",
        str(here / "photos/a.png"),
    ]
    assert [item.name for item in found][:2] == ["photos/day1/b.png", "all.tar/photos/a.png"]
    assert [int(item.read()[0, 0, 0]) for item in found if "example" not in item.place] == [2, 1, 2, 1]


@pytest.mark.usefixtures("here")
def test_names_of_all_kinds_grow_until_they_differ():
    found = names(["photos", "all.tar", "other/a.png", "https://h/a.png", "http://h/a.png"])
    assert len(set(found)) == len(found) == 7
    assert names(["photos", "other/a.png"]) == ["photos/a.png", "day1/b", "other/a.png"]


@pytest.mark.usefixtures("here")
def test_places_lead_back_to_the_images():
    for item in find_inputs(["photos", "all.tar"]):
        again = open_input(item.place)
        assert again.place == item.place
        assert again.state() == item.state() != ()
        assert np.array_equal(again.read(), item.read())
    assert isinstance(open_input("photos/a.png"), InputFile)
    for gone in ("photos/none.png", "all.tar/none.png"):
        with pytest.raises(ImageError, match=r"none\.png"):
            open_input(gone).read()


def test_lists_have_comments_blank_lines_and_things_that_are_missing(here, monkeypatch):
    (here / "lists").mkdir()
    lines = [
        "\ufeff# a comment",
        "",
        "../photos/a.png  ",
        "sub/b.png",
        "../photos/day1",
        "none.png",
        "https://h/c.jpg",
        "\t",
    ]
    (here / "lists" / "some.txt").write_text("\r\n".join(lines), "utf-8")
    (here / "lists" / "sub").mkdir()
    (here / "photos" / "day1" / "b.png").rename(here / "lists" / "sub" / "b.png")
    Image.new("RGB", (2, 2)).save(here / "photos" / "day1" / "d.png")
    found = find_inputs(["@lists/some.txt"])
    assert [item.relative for item in found] == ["a", "sub/b", "d", "none", "c"]
    broken = found[3]
    assert isinstance(broken, BrokenInput)
    with pytest.raises(
        ImageError, match=r"^none.png: no such file or folder; check line 6 of the list lists/some.txt$"
    ):
        broken.read()


@pytest.mark.usefixtures("here")
def test_no_name_of_results_leads_out_of_their_folder():
    Path("list.txt").write_text("photos/../photos/a.png\n../" + os.path.basename(os.getcwd()) + "/other/a.png\n")
    for item in find_inputs(["@list.txt", "photos/../other/*.png", "http://h/%2e%2e/%2e%2e%2fevil.png", "http://h/.."]):
        assert not item.relative.startswith("/")
        assert ".." not in item.relative.split("/")
    assert names(["http://h/a%2f..%5Cb.png"]) == ["a_.._b"]


def test_standard_input_is_a_list(here, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"photos/a.png\nphotos/day1/b.png\n")))
    assert names(["-"]) == ["photos/a", "photos/day1/b"]


@pytest.mark.usefixtures("here")
def test_a_file_named_with_an_at_sign_is_a_file():
    os.rename("photos/a.png", "@a.png")
    assert names(["@a.png"]) == ["@a"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"the list none.txt cannot be read: No such file"),
        (b"\n# nothing\n", r"the list none.txt is empty"),
        (b"\x89PNG\r\n\x1a\n\xff", r"the list none.txt is no list of images \(it starts with b'\\x89PNG"),
        (b"a\0b", r"no list of images"),
    ],
)
def test_lists_that_cannot_be_read(here, content, message):
    if content is not None:
        (here / "none.txt").write_bytes(content)
    with pytest.raises(UsageError, match=message):
        find_inputs(["@none.txt"])


@pytest.mark.usefixtures("here")
def test_the_network_is_refused_offline_also_in_lists():
    Path("list.txt").write_text("photos/a.png\nHTTPS://h/a.png\n")
    for argument in ("https://h/a.png", "@list.txt"):
        with pytest.raises(UsageError, match="must not be used offline"):
            find_inputs([argument], offline=True)
    with pytest.raises(UsageError, match="must not be used offline"):
        open_input("https://h/a.png", offline=True)


@pytest.mark.usefixtures("here")
def test_globs_name_archives_and_folders_do_not():
    os.rename("all.tar", "photos/all.tar")
    assert names(["photos/*.tar"]) == ["photos/a", "photos/day1/b"]
    assert names(["photos"]) == ["a", "day1/b"]


@pytest.mark.usefixtures("here")
def test_archives_on_the_web_are_not_read():
    with pytest.raises(UsageError, match=r"https://h/a.tar.gz is no image; fetch it"):
        find_inputs(["https://h/a.tar.gz"])


@pytest.mark.usefixtures("here")
def test_all_that_is_missing_is_named_at_once():
    with pytest.raises(UsageError, match=r"none\.png.*none\.tar"):
        find_inputs(["none.png", "photos", "none.tar"])


def test_texts_that_were_written_one_by_one_go_together(tmp_path, monkeypatch):
    Image.new("RGB", (4, 4)).save(tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        UsageError, match=r"no such file or folder: 'red cat'; texts go together in one argument, as in"
    ):
        find_inputs(["photo.png", "red cat"])
    for arguments in (["photo.png", "other.png"], ["photo.png", "folder/other"], ["nowhere", "cat"]):
        with pytest.raises(UsageError, match=r"^[^;]*(; no such[^;]*)?$"):
            find_inputs(arguments)
