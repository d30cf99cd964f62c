"""``densevl refer`` end to end, with the shipped mini model."""

import io
import json
import tarfile

import cv2
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from densevl.cli import main
from densevl.datasets.scenes import render


@pytest.fixture(scope="module")
def scene():
    return next(s for s in (render(11, i, count=(3, 3)) for i in range(50)) if len({o.name for o in s.objects}) == 3)


@pytest.fixture
def photo(tmp_path, scene):
    Image.fromarray(scene.image).save(tmp_path / "scene.png")
    (tmp_path / "boxes.json").write_text(json.dumps([item.box for item in scene.objects]))
    return tmp_path / "scene.png"


def refer(photo, *arguments):
    """Run the command on a picture with the boxes beside it."""
    options = ["--model", "mini", "--offline", "--out", photo.parent / "out", "--boxes", photo.parent / "boxes.json"]
    return main(["refer", str(photo), *map(str, arguments), *map(str, options)])


def test_one_expression_gives_a_picture_and_a_record(photo, scene, capsys):
    assert refer(photo, scene.objects[1].name, "--top", 2) == 0
    printed = capsys.readouterr().out
    out = photo.parent / "out"
    assert str(out / "scene.refer.png") in printed
    lines = printed.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["1", "2"]
    assert "region" not in printed, "ranks, no internal numbers"
    assert cv2.imread(str(out / "scene.refer.png")).size > scene.image.size
    record = json.loads((out / "scene.refer.json").read_text())
    (answer,) = record["expressions"]
    assert answer["expression"] == scene.objects[1].name
    assert [region["rank"] for region in answer["regions"]] == [1, 2, 3]
    assert sum(region["probability"] for region in answer["regions"]) == pytest.approx(1)
    for region in answer["regions"]:
        assert tuple(region["box"]) == scene.objects[region["region"]].box
        assert set(region["parts"]) == {"crop", "blur_mask"}
        assert coco_mask.decode(region["mask"]).shape == scene.image.shape[:2]
    assert sorted(path.name for path in out.iterdir()) == ["scene.refer.json", "scene.refer.png"]


def test_the_image_is_decoded_and_an_expression_parsed_once(photo, monkeypatch):
    from densevl.core import images
    from densevl.tasks.grounding import parsers

    calls = []
    read, parse = images.read_image, parsers.parse_expression
    monkeypatch.setattr(images, "read_image", lambda image: calls.append("read") or read(image))
    monkeypatch.setattr(parsers, "parse_expression", lambda text: calls.append(text) or parse(text))
    assert refer(photo, "the left shape", "the right shape", "--html") == 0
    assert "the right shape" in (photo.parent / "out" / "index.html").read_text(encoding="utf-8")
    assert sorted(calls) == ["read", "the left shape", "the right shape"]


def test_an_image_on_standard_input_or_in_an_archive(photo, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(photo.read_bytes())))
    options = ["--model", "mini", "--offline", "--out", photo.parent / "out", "--boxes", photo.parent / "boxes.json"]
    with tarfile.open(photo.parent / "all.tar", "w") as archive:
        archive.add(photo, "day1/again.png")
    for image, name in (("-", "stdin"), (photo.parent / "all.tar" / "day1" / "again.png", "again"), (photo, "scene")):
        assert main(["refer", str(image), "the left shape", *map(str, options)]) == 0
        assert (photo.parent / "out" / f"{name}.refer.png").is_file()
    assert (photo.parent / "out" / "stdin.refer.png").read_bytes() == (
        photo.parent / "out" / "scene.refer.png"
    ).read_bytes()
    assert main(["refer", "https://example.org/a.png", "dog", "--model", "mini", "--offline"]) == 2
    assert "must not be used offline" in capsys.readouterr().err


def test_nothing_is_built_for_an_image_that_cannot_be_read(photo, capsys):
    photo.write_text("no picture")
    setting = ["--set", "template=a {}"]  # with a setting that is no number, weights are asked for where they are used
    assert main(["refer", str(photo), "dog", "--model", "fgvp", "--offline", *setting]) == 1
    assert "scene.png" in capsys.readouterr().err


def test_what_is_not_understood_is_said(photo, capsys):
    assert refer(photo, "the two shapes next to the left shape, facing right") == 0
    printed = capsys.readouterr()
    assert "'facing right'; no box shows it" in printed.err
    assert "means 2 things" in printed.err
    (answer,) = json.loads((photo.parent / "out" / "scene.refer.json").read_text())["expressions"]
    assert answer["not_understood"] == ["facing right"]
    assert answer["count"] == 2
    assert "near (shape | most left)" in answer["read_as"]


def test_the_parser_of_published_figures_reaches_the_grounder(photo, capsys):
    assert refer(photo, "the shape next to the left shape", "--parser", "reclip") == 0
    assert "not understood" not in capsys.readouterr().err
    record = json.loads((photo.parent / "out" / "scene.refer.json").read_text())
    assert record["protocol"]["parser"] == "reclip"
    assert "near" not in record["expressions"][0]["read_as"]


def test_one_expression_has_one_sheet(photo):
    assert refer(photo, "the left shape", "--show-prompts") == 0
    names = sorted(path.name for path in (photo.parent / "out").iterdir())
    assert names == ["scene.marked.png", "scene.refer.json", "scene.refer.png"]


def test_many_expressions_and_the_marked_images(photo, capsys):
    assert refer(photo, "the left shape", "the right shape", "--show-prompts", "--explain") == 0
    printed = capsys.readouterr().out
    assert "most left" in printed
    assert "most right" in printed
    out = photo.parent / "out"
    pictures = ["scene.marked.1.png", "scene.marked.2.png", "scene.refer.1.png", "scene.refer.2.png"]
    assert sorted(path.name for path in out.iterdir()) == [*pictures, "scene.refer.json"]
    assert all(str(out / name) in printed for name in pictures)
    first, second = (cv2.imread(str(out / name)) for name in pictures[:2])
    assert first.shape == second.shape
    assert (first != second).any(), "each sheet begins with the best region of its own expression"
    assert len(json.loads((out / "scene.refer.json").read_text())["expressions"]) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([""], "names nothing"),
        (["dog " * 200], "describe the thing in fewer words"),
        (["dog", "--model", "minni"], "minni"),
        (["dog", "--model", "maskclip-b32"], "tells no regions apart"),
        (["dog", "--model", "fgvp", "--weights", "{mini}"], "this model has 2"),
        (["dog", "--parser", "ruls"], "rules"),
        (["dog", "--parser", "spacy"], "there are rules, reclip"),
        (["left of the " * 30 + "dog"], "use fewer"),
        (["dog", "--boxes", "{folder}/none.json"], "none.json"),
        (["dog", "--boxes", "{folder}/wrong.json"], "reversed"),
        (["dog", "--boxes", "{folder}/empty.json"], "no region to choose from"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(photo, capsys, arguments, message):
    from densevl.weights.table import DATA

    (photo.parent / "wrong.json").write_text("[[50, 60, 20, 20]]")
    (photo.parent / "empty.json").write_text("[]")
    arguments = [text.format(folder=photo.parent, mini=DATA / "mini" / "clip.safetensors") for text in arguments]
    options = ["--model", "mini", "--out", str(photo.parent / "out"), "--boxes", str(photo.parent / "boxes.json")]
    code = main(["refer", str(photo), *options, *arguments])
    error = capsys.readouterr().err
    assert error.startswith("densevl: error: ")
    assert error.count("\n") == 1
    assert message in error
    assert code == 2
    assert not (photo.parent / "out").exists()


def test_an_unreadable_image_is_exit_code_1(photo, capsys):
    photo.write_text("no picture")
    assert refer(photo, "dog") == 1
    assert "scene.png" in capsys.readouterr().err


def test_weights_that_are_not_here_say_what_to_fetch(photo, capsys):
    options = ["--model", "fgvp", "--offline", "--out", str(photo.parent / "out")]
    assert main(["refer", str(photo), "dog", *options]) == 1
    early = capsys.readouterr().err
    for file in ("vit_base_patch32_clip_224.openai", "resnet50x16_clip.openai", "sam_vit_h_4b8939.pth"):
        assert file in early
    assert main(["refer", str(photo), "dog", *options, "--set", "template=a {}"]) == 1
    late = capsys.readouterr().err
    assert "weights 'clip-vit-b32-openai', 'clip-rn50x16-openai', 'sam-vit-h' are not on this machine" in late
    assert "`densevl fetch fgvp --to FOLDER`" in early
    assert "`densevl fetch clip-vit-b32-openai clip-rn50x16-openai sam-vit-h --to FOLDER`" in late
