"""``densevl refer`` over many images, with the shipped mini model."""

import json
import shutil

import pytest
from PIL import Image
from toys.photos import write_photos
from toys.sent import SentEngine

from densevl.api.jobs.asked import ask_all, read_pairs
from densevl.api.jobs.refer import ReferJob
from densevl.api.loading import Loading, load
from densevl.cli import main
from densevl.cli.refer import _are_many, _sources
from densevl.core.errors import OutputError, UsageError
from densevl.core.inputs import find_inputs
from densevl.datasets.scenes import render

EXPRESSIONS = ["the left shape", "the biggest shape"]


@pytest.fixture(scope="module")
def scenes():
    return [render(11, number, size=(64, 80), count=(3, 3)) for number in range(3)]


@pytest.fixture(scope="module")
def mini():
    return load("mini", device="cpu", lazy=True)


@pytest.fixture
def photos(tmp_path, scenes):
    """Three scenes, one of them in a folder below, and their boxes as those of a COCO data set."""
    return write_photos(tmp_path, scenes)


@pytest.fixture
def refer(mini, photos):
    """Grounds in all photos; gives how many were done, done before and failed."""

    def run(expressions=EXPRESSIONS, out="out", overwrite=False, **settings):
        job = ReferJob(mini, photos.parent / out, **settings)
        found = job.run_many(ask_all(find_inputs([photos]), expressions), photos.parent / "boxes.json", overwrite)
        return len(found.done), len(found.skipped), len(found.failures)

    return run


def answers(out):
    return [json.loads(line) for line in (out / "refer.jsonl").read_text("utf-8").splitlines()]


def contents(out):
    return {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_a_folder_gives_for_each_image_what_it_gives_alone(photos, capsys):
    options = ["--boxes", photos.parent / "boxes.json", "--model", "mini", "--offline", "--out"]
    common = [*EXPRESSIONS, *map(str, options)]
    assert main(["refer", str(photos), *common, str(photos.parent / "out")]) == 0
    printed = capsys.readouterr().out
    assert "3 referred with 6 expressions, 0 done before, 0 failed" in printed
    assert str(photos.parent / "out" / "refer.jsonl") in printed
    assert main(["refer", str(photos / "a.png"), *common, str(photos.parent / "alone")]) == 0
    together, alone = photos.parent / "out", photos.parent / "alone"
    assert (together / "a.refer.1.png").read_bytes() == (alone / "a.refer.1.png").read_bytes()
    one, other = (json.loads((folder / "a.refer.json").read_text()) for folder in (together, alone))
    assert [e["regions"] for e in one["expressions"]] == [e["regions"] for e in other["expressions"]]
    lines = answers(together)
    assert [line["record"] for line in lines] == [f"{n}.refer.json" for n in ("a", "day1/b", "day1/c") for _ in "12"]
    assert [line["expression"] for line in lines] == EXPRESSIONS * 3
    assert lines[0].keys() == {"image", "record", "expression", "box", "probability", "doubtful"}
    assert lines[0]["box"] == one["expressions"][0]["regions"][0]["box"]
    assert not (alone / "job.json").exists()


def test_running_again_does_what_is_new_has_changed_or_is_asked_otherwise(photos, refer, scenes):
    out = photos.parent / "out"
    assert refer() == (3, 0, 0)
    before = contents(out)
    assert refer() == (0, 3, 0)
    assert contents(out) == before
    Image.fromarray(scenes[1].image[:, ::-1]).save(photos / "a.png")
    Image.fromarray(scenes[0].image).save(photos / "new.png")
    assert refer() == (1, 2, 1), "the file of boxes has none of the new image"
    (out / "day1" / "b.refer.json").unlink()
    (photos / "new.png").unlink()
    assert refer() == (1, 2, 0)
    assert not (out / "failures.jsonl").exists()
    assert len(answers(out)) == 6
    assert refer(["the left shape"]) == (3, 0, 0)
    names = sorted(path.name for path in out.iterdir() if path.is_file() and not path.name.startswith("."))
    assert names == ["a.refer.json", "a.refer.png", "job.json", "refer.jsonl"], "pictures of two expressions are gone"
    with pytest.raises(UsageError, match="top 5 there, 3 here"):
        refer(top=3)
    assert refer(top=3, overwrite=True) == (3, 0, 0)


def test_other_processes_get_all_they_need(photos, refer):
    assert refer(out="here") == (3, 0, 0)
    placed = {"engine": SentEngine(), "loading": Loading("mini", {"device": "cpu", "lazy": True})}
    assert refer(out="sent", **placed) == (3, 0, 0)
    assert contents(photos.parent / "sent") == contents(photos.parent / "here")


def test_a_folder_that_is_begun_anew_ends_the_other_run(photos, refer, mini, monkeypatch):
    real = type(mini.grounder).refer

    def meanwhile(*arguments):
        shutil.copy(photos.parent / "boxes.json", photos.parent / "out" / "job.json")
        (photos.parent / "out" / "job.json").write_text('{"command": "refer", "fingerprint": "other"}')
        return real(*arguments)

    monkeypatch.setattr(type(mini.grounder), "refer", meanwhile)
    with pytest.raises(OutputError, match="begun anew"):
        refer()


def test_pairs_ask_each_image_its_own(photos, scenes, mini):
    lines = [
        {
            "image": "photos/a.png",
            "expression": scenes[0].objects[-1].name,
            "boxes": [o.box for o in scenes[0].objects],
        },
        {"image": "photos/day1/b.png", "expressions": ["the left shape"], "boxes": [[0, 0, 10, 10]]},
        {"image": "photos/a.png", "expression": "the left shape"},
        {"image": "photos/gone.png", "expression": "a dog"},
    ]
    file = photos.parent / "pairs.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    asked = read_pairs(file)
    assert [one.relative for one in asked] == ["photos/a", "photos/day1/b", "photos/gone"]
    assert asked[0].expressions == (scenes[0].objects[-1].name, "the left shape")
    run = ReferJob(mini, photos.parent / "out").run_many(asked)
    assert [failure.name for failure in run.failures] == [str(photos / "gone.png")]
    found = answers(photos.parent / "out")
    assert tuple(found[0]["box"]) == scenes[0].objects[-1].box
    assert found[2]["box"] == [0, 0, 10, 10]
    table = 'image,expression,boxes\nphotos/a.png,the left shape,\nphotos/day1/b.png,a ring,"[[0, 0, 10, 10]]"\n'
    (photos.parent / "pairs.csv").write_text(table)
    first, second = read_pairs(photos.parent / "pairs.csv")
    assert (first.expressions, first.boxes) == (("the left shape",), None)
    assert second.boxes == ((0, 0, 10, 10),)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("p.jsonl", "", "asks nothing"),
        ("p.jsonl", "{", "line 1 of .* is not JSON"),
        ("p.jsonl", '{"expression": "dog"}', "line 1 of .*: name an image"),
        ("p.jsonl", '{"image": "a.png"}', "expressions are one text or a list"),
        ("p.jsonl", '{"image": "a.png", "expression": ""}', "line 1 of .* names nothing"),
        ("p.jsonl", '{"image": "a.png", "text": "dog"}', "'text' is unknown"),
        ("p.jsonl", '{"image": "a.png", "expression": "dog", "boxes": [[1, 2]]}', "boxes are a list"),
        ("p.csv", "image,expression\na.png,\n", "line 2 of .*: expressions are"),
        ("p.txt", "a.png dog", "written as .jsonl or .csv"),
    ],
)
def test_pairs_that_cannot_be_read_name_the_line(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=message):
        read_pairs(tmp_path / name)


def test_images_are_told_from_expressions(photos, monkeypatch):
    monkeypatch.chdir(photos)
    (photos / "dog").mkdir()
    (photos / "list.txt").write_text("a.png")
    assert _sources("a.png", ["dog", "day1/b.png"]) == (["a.png"], ["dog", "day1/b.png"])
    assert _sources("a.png", ["day1/b.png", "@list.txt", "dog/", "dog"]) == (
        ["a.png", "day1/b.png", "@list.txt", "dog/"],
        ["dog"],
    )
    with pytest.raises(UsageError, match="no expression given"):
        _sources("a.png", ["day1/b.png"])
    assert [_are_many([one]) for one in ("a.png", "-", "https://example.org/a?b=*", "none.png")] == [False] * 4
    assert [_are_many([one]) for one in (".", "*.png", "@list.txt")] == [True] * 3
    assert [_are_many([one]) for one in ("pairs.csv", "photos.parquet", "img{1..3}.png", "{a,b}/c.png")] == [True] * 4
    assert [_are_many([one]) for one in ("s3://b/photos", "gs://b/photos/", "s3://b/*.png", "s3://b/a.tar")] == [
        True
    ] * 4
    assert [_are_many([one]) for one in ("s3://b/a.png", "gs://b/A.JPG")] == [False] * 2
    assert _sources("s3://b/a.png", ["gs://b/c.png", "dog"]) == (["s3://b/a.png", "gs://b/c.png"], ["dog"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{photos}", "the ring", "--html"], "--html is of one image"),
        (["{photos}", "the ring", "--explain"], "--explain is of one image"),
        (["{photos}/a.png", "ring", "--pairs", "none.jsonl"], "--pairs names the images"),
        (["--pairs", "none.jsonl"], "none.jsonl cannot be read"),
        (["{photos}", "the ring", "--boxes", "none.json"], "none.json"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(photos, capsys, arguments, message):
    arguments = [text.format(photos=photos) for text in arguments]
    assert main(["refer", *arguments, "--model", "mini", "--offline", "--out", str(photos.parent / "out")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("densevl: error: ")
    assert error.count("\n") == 1
    assert message in error
    assert not (photos.parent / "out").exists()
