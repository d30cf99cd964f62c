"""Paths in an index: relative to it where the image lies near, and absolute again in memory."""

import os
from pathlib import Path

import pytest

from densevl.tasks.search import image_paths
from densevl.tasks.search.image_paths import opened_path, stored_path


@pytest.mark.parametrize(
    ("path", "folder", "name"),
    [
        ("{here}/photos/a.jpg", "{here}/index", "../photos/a.jpg"),
        ("{here}/photos/a.jpg", "index", "../photos/a.jpg"),
        ("{here}/photos/a.jpg", "{here}/out/index", "../../photos/a.jpg"),
        ("{here}/index/b.jpg", "{here}/index", "./b.jpg"),
        ("{here}/index/.b.jpg", "{here}/index", "./.b.jpg"),
        ("../other/a.jpg", "{here}/index", "{above}/other/a.jpg"),
        ("{above}/other/a.jpg", "{here}/index", "{above}/other/a.jpg"),
        ("{above}/other/a.jpg", "{above}/index", "../other/a.jpg"),
        ("{here}/photos/a.jpg", "/index", "{here}/photos/a.jpg"),
        ("https://example.org/a.jpg", "{here}/index", "https://example.org/a.jpg"),
        ("a.jpg", "{here}/index", "a.jpg"),
        ("17", "{here}/index", "17"),
    ],
)
def test_what_lies_near_is_named_relative_to_the_index(tmp_path, monkeypatch, path, folder, name):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    path, place, name = (text.format(here=here, above=tmp_path) for text in (path, folder, name))
    folder = Path(place)
    assert stored_path(path, folder) == name
    back = opened_path(name, folder)
    assert back == (os.path.abspath(path) if name.startswith((".", "/")) else path)


def test_the_folder_of_an_image_is_looked_at_once_and_its_name_is_that_of_the_image_alone(tmp_path, monkeypatch):
    (tmp_path / "work" / "index").mkdir(parents=True)
    for current in (tmp_path, tmp_path / "work", tmp_path / "work" / "index"):
        monkeypatch.chdir(current)
        for folder in (tmp_path / "work" / "index", Path("index"), Path()):
            for place in (
                "/a.png",
                "/b/a.png",
                "photos/a.png",
                "work/index/a.png",
                "work/..a.png",
                "work/a..",
                "work/./b.png",
            ):
                path = str(tmp_path / place) if "/" in place.strip("/") else place
                assert stored_path(path, folder) == image_paths._stored(path, str(folder)), (path, folder)
