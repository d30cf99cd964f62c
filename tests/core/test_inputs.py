import os
import tempfile
from pathlib import Path

import pytest

from densevl.core.errors import UsageError
from densevl.core.files import expand_inputs


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder tree; the working directory lies above it."""
    monkeypatch.chdir(tmp_path)
    for name in (
        *("photos/img10.jpg", "photos/img2.JPG", "photos/notes.txt", "photos/.hidden.jpg", "photos/._img2.jpg"),
        *("photos/day1/cat.jpg", "photos/day1/cat.png", "photos/day2/cat.jpg", "photos/.cache/x.jpg"),
        *("other/day2/cat.jpg", "empty/readme.md", "scan", "odd[1].jpg"),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "photos"


def names(arguments: list[str], **options: str) -> list[str]:
    return [item.relative for item in expand_inputs(arguments, **options)]


@pytest.mark.usefixtures("photos")
def test_a_folder_with_all_below_it_in_natural_order() -> None:
    found = expand_inputs(["photos"])
    expected = ["day1/cat.jpg", "day1/cat.png", "day2/cat.jpg", "img2.JPG", "img10.jpg"]
    assert [str(item.path) for item in found] == [f"photos/{name}" for name in expected]
    assert [item.relative for item in found] == ["day1/cat.jpg", "day1/cat.png", "day2/cat", "img2", "img10"]


def test_the_same_by_other_spellings(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = names(["photos"])
    assert names(["photos/"]) == names([str(photos)]) == names(["./photos/../photos"]) == expected
    monkeypatch.setenv("HOME", str(photos.parent))
    assert names(["~/photos"]) == expected
    monkeypatch.chdir(photos)
    assert names(["."]) == expected


@pytest.mark.usefixtures("photos")
def test_files_keep_their_order_and_any_suffix() -> None:
    assert names(["scan", "photos/img2.JPG", "photos/day2/cat.jpg"]) == ["scan", "img2", "cat"]


@pytest.mark.usefixtures("photos")
def test_globs_mirror_what_follows_their_fixed_part() -> None:
    assert names(["photos/day*/*.jpg"]) == ["day1/cat", "day2/cat"]
    assert names(["photos/**/*.jp*g"]) == ["day1/cat", "day2/cat", "img10"]
    assert names(["*/img?.JPG"]) == ["photos/img2"]


@pytest.mark.usefixtures("photos")
def test_a_name_with_glob_characters_is_a_name() -> None:
    assert names(["odd[1].jpg"]) == ["odd[1]"]


@pytest.mark.usefixtures("photos")
def test_a_file_named_twice_comes_once() -> None:
    assert names(["photos/img2.JPG", "photos", os.path.abspath("photos/img10.jpg")]).count("img2") == 1
    assert len(names(["photos", "photos", "./photos/img10.jpg"])) == 5


@pytest.mark.usefixtures("photos")
def test_no_two_results_share_a_name() -> None:
    assert names(["photos/day2", "other/day2"]) == ["photos/day2/cat.jpg", "other/day2/cat.jpg"]
    mixed = names(["photos", "other", "photos/day1/cat.png", "scan"])
    assert len(set(mixed)) == len(mixed) == 7


def test_a_suffix_inside_a_name_does_not_clash(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png", "a.jpg.png", "a.png.png.png"):
        (tmp_path / name).touch()
    assert len(set(names([str(tmp_path)]))) == 4


@pytest.mark.usefixtures("photos")
def test_results_inside_the_inputs_are_left_out() -> None:
    assert names(["photos"], exclude="photos/day1") == ["day2/cat", "img2", "img10"]
    assert names(["photos/day1/cat.png"], exclude="photos/day1") == ["cat"]


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("nowhere.jpg", "no such file or folder: 'nowhere.jpg'"),
        ("empty", "no image .*png.* in the folder 'empty'"),
        ("photos/*.bmp", r"no image .* matches 'photos/\*.bmp'"),
        ("", "no such file or folder: ''"),
        ("bad\0name", "no such file or folder"),
    ],
)
def test_nothing_found(argument: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        expand_inputs(["photos", argument])


@pytest.mark.usefixtures("photos")
def test_all_that_is_missing_is_named_at_once() -> None:
    with pytest.raises(UsageError, match=r"a\.jpg.*b\.jpg"):
        expand_inputs(["a.jpg", "photos", "b.jpg"])


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs the permissions of POSIX")
def test_a_folder_that_cannot_be_listed() -> None:
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        Path(folder, "secret").mkdir(mode=0o000)
        if root:
            os.seteuid(65534)
        try:
            with pytest.raises(UsageError, match=r"cannot list the folder .*secret: Permission denied"):
                expand_inputs([folder])
        finally:
            if root:
                os.seteuid(0)
