import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import tracemalloc
from pathlib import Path

import pytest

from densevl.core.errors import OutputError, UsageError
from densevl.core.files import atomic_write, below, expand_inputs, locked, natural_order, read_json


def test_writes_whole_and_makes_the_folder(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "labels.png"
    with atomic_write(target) as temporary:
        assert temporary.suffix == ".png"
        assert temporary.parent == target.parent
        temporary.write_bytes(b"new")
        assert not target.exists()
    assert target.read_bytes() == b"new"
    assert os.listdir(target.parent) == ["labels.png"]


def test_replaces_and_accepts_a_string(tmp_path: Path) -> None:
    target = tmp_path / "x.json"
    target.write_text("old")
    with target.open() as reader:
        with atomic_write(str(target)) as temporary:
            temporary.write_text("new")
        assert reader.read() == "old", "whoever reads the old file goes on reading it"
    assert target.read_text() == "new"


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, failure: type[BaseException]) -> None:
    target = tmp_path / "x.json"
    target.write_text("old")

    def stop_half_way() -> None:
        with atomic_write(target) as temporary:
            temporary.write_text("half")
            raise failure

    with pytest.raises(failure):
        stop_half_way()
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["x.json"]


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 251 + ".png")
    with atomic_write(target) as temporary:
        temporary.write_bytes(b"x")
    assert target.exists()


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        with atomic_write(tmp_path / "x") as temporary:
            temporary.write_text("x")
    finally:
        os.umask(old)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match=r"cannot write .*out"), atomic_write(tmp_path / "out" / "a" / "x.png"):
        pytest.fail("the block must not run")


def test_a_folder_where_the_file_should_be(tmp_path: Path) -> None:
    (tmp_path / "x.png").mkdir()
    with pytest.raises(OutputError, match=r"x\.png"), atomic_write(tmp_path / "x.png") as temporary:
        temporary.write_bytes(b"x")
    assert os.listdir(tmp_path) == ["x.png"]


def test_a_name_that_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="too long"), atomic_write(tmp_path / ("n" * 300)) as temporary:
        temporary.write_bytes(b"x")
    assert not os.listdir(tmp_path)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a file system that nobody may write to")
def test_an_unwritable_folder() -> None:
    with pytest.raises(OutputError, match="/proc/densevl/x"), atomic_write("/proc/densevl/x"):
        pytest.fail("the block must not run")


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="needs a limit on the size of files")
def test_no_space_left(tmp_path: Path) -> None:
    program = (
        "import resource, sys\n"
        "from densevl.core.files import atomic_write; from densevl.core.errors import OutputError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n"
        "    with atomic_write(sys.argv[1]) as temporary: temporary.write_bytes(bytes(5000))\n"
        "except OutputError as error: print(error)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "big.bin")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "cannot write" in done.stdout
    assert "big.bin" in done.stdout
    assert not os.listdir(tmp_path)


def test_errors_of_other_files_pass(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "x"):
        (tmp_path / "other" / "input.txt").read_text()
    assert not os.listdir(tmp_path)


def test_json_is_read_or_the_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text('{"ö": [1, null]}', encoding="utf-8")
    assert read_json(str(file)) == {"ö": [1, None]}
    for content in (b"{", b"\xff\xfe", b""):
        file.write_bytes(content)
        with pytest.raises(UsageError, match=r"a\.json is not JSON"):
            read_json(file)
    for missing in (tmp_path / "none.json", tmp_path):
        with pytest.raises(UsageError, match=r"cannot be read: .*; check the path"):
            read_json(missing)


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


def test_numbers_count_as_numbers_wherever_they_stand() -> None:
    """In the order of lists of texts and numbers, which compare piece by piece."""

    def pieces(path: str) -> list[list[str | int]]:
        parts = (re.split(r"(\d+)", part.casefold()) for part in path.split("/"))
        return [[int(piece) if i % 2 else piece for i, piece in enumerate(part)] for part in parts]

    draw = random.Random(0)
    paths = ["".join(draw.choices("aB!0129/", k=draw.randint(1, 9))) for _ in range(3000)]
    paths = [*{re.sub("/+", "/", path).strip("/") for path in [*paths, "a" + "1" * 47, "a/1"]} - {""}]
    assert sorted(paths, key=natural_order) == sorted(paths, key=pieces)


def test_names_of_results_grow_up_to_the_root_and_lead_nowhere_else() -> None:
    assert list(below("/p/day.1/a.b.png", Path("/p"))) == ["day.1/a.b", "day.1/a.b.png", "p/day.1/a.b.png"]
    assert list(below("/p/.png", Path("/p"))) == [".png", ".png", "p/.png"]
    assert next(below("../a.png", Path())) == next(below("/b/a.png", Path("/c"))) == "a"
    assert next(below("a.png", Path())) == next(below("p/a.png", Path("p"))) == "a"


def test_images_of_a_folder_take_a_few_hundred_bytes_each(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"{number}.png").touch()
    tracemalloc.start()
    found = expand_inputs([tmp_path])
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 400 * len(found)
    assert peak < 1000 * len(found)


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


def test_deeply_nested_json_is_no_json(tmp_path):
    (tmp_path / "deep.json").write_text("[" * 3000)
    with pytest.raises(UsageError, match=r"deep.json is not JSON: brackets are nested too deeply"):
        read_json(tmp_path / "deep.json")
    (tmp_path / "bytes.json").write_bytes(b'["\xff"]')
    with pytest.raises(UsageError, match=r"no UTF-8 text \(byte 2\)"):
        read_json(tmp_path / "bytes.json")


def test_a_url_is_said_to_be_one():
    with pytest.raises(UsageError, match=r"'s3://bucket/photos/' is a URL, and this reads files of this machine"):
        expand_inputs(["s3://bucket/photos/"])


@pytest.mark.parametrize("place", ["s3://bucket/out", "gs://bucket/out"])
def test_nothing_is_written_below_the_name_of_a_url(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with (
        pytest.raises(OutputError, match=r"^cannot write .*bucket/out.*: results are written to a folder.*aws s3 sync"),
        atomic_write(Path(place) / "a.txt") as temporary,
    ):
        temporary.write_text("a")
    with pytest.raises(OutputError, match="results are written to a folder of this machine"), locked(Path(place)):
        pass
    assert list(tmp_path.iterdir()) == []
