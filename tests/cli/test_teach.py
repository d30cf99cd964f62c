"""``densevl teach`` and the commands that take what it writes."""

import json

import pytest

import densevl
from densevl.classifiers.classes import Classes
from densevl.cli import main
from densevl.core.drawing.overlay import write_image
from densevl.datasets.scenes import render


@pytest.fixture(scope="module")
def things(tmp_path_factory):
    """Scenes with boxes of shapes that no model was shown, and the classes of them."""
    folder = tmp_path_factory.mktemp("things")
    records = []
    for index in range(8):
        scene = render(5, index, (96, 128), "val", (2, 3), new_shapes=True)
        write_image(folder / f"{index}.png", scene.image)
        records += [{"image": f"{index}.png", "name": item.shape, "box": item.box} for item in scene.objects]
    (folder / "examples.json").write_text(json.dumps(records))
    write_image(folder / "new" / "a.png", render(5, 21, (96, 128), "val", (2, 3), new_shapes=True).image)
    return folder


@pytest.fixture(scope="module")
def taught(things):
    out = things / "classes.safetensors"
    arguments = ["--model", "mini", "--device", "cpu", "--report", str(things / "report"), "--views", "1"]
    assert main(["teach", str(things / "examples.json"), "--out", str(out), *arguments]) == 0
    return out


def test_the_file_and_the_pictures_are_written(things, taught):
    classes = Classes.load(taught)
    assert {"arrow", "bolt"} <= set(classes.names)
    assert dict(classes.model) == {"name": "mini"}
    written = {path.name for path in (things / "report").iterdir()}
    assert written == {"examples.png", "regions.confusion.png", "regions.reliability.png"}


def test_every_command_takes_them_and_their_model(things, taught, tmp_path, capsys):
    image, use = str(things / "new" / "a.png"), ["--classes", str(taught), "--device", "cpu", "--out", str(tmp_path)]
    assert main(["segment", image, *use]) == 0
    assert (tmp_path / "a.overlay.png").is_file()
    assert main(["refer", image, "the left arrow", *use]) == 0
    record = json.loads((tmp_path / "a.refer.json").read_text())
    assert record["classes"] == Classes.load(taught).digest
    assert main(["search", str(things / "new"), "--top", "2", "--index", str(tmp_path / "index"), "--json", *use]) == 0
    said = capsys.readouterr()
    answers = json.loads(said.out[said.out.index('{\n "model_id"') :])["queries"]
    assert [answer["query"] for answer in answers] == list(Classes.load(taught).names)  # without a query, each class
    assert "--model takes another" not in said.err  # no model was chosen: the classes name theirs


def test_embed_names_every_region(things, taught, tmp_path, capsys):
    boxes = tmp_path / "boxes.json"
    scene = render(5, 21, (96, 128), "val", (2, 3), new_shapes=True)
    boxes.write_text(json.dumps({"a.png": [list(item.box) for item in scene.objects]}))
    out, use = tmp_path / "index", ["--classes", str(taught), "--device", "cpu"]
    command = ["embed", str(things / "new"), "--boxes", str(boxes), "--out", str(out), *use]
    assert main(command) == 0
    said = capsys.readouterr().out
    lines = (out / "regions.jsonl").read_text().splitlines()
    named = [json.loads(line) for line in lines]
    classes = Classes.load(taught)
    expected = densevl.load("mini", device="cpu").recognise(scene.image, [one["box"] for one in named], classes)
    assert [one["class"] for one in named] == [classes.names[label] for label in expected.probabilities.argmax(1)]
    assert [one["confidence"] for one in named] == pytest.approx(expected.probabilities.amax(1).tolist(), abs=2e-3)
    assert f"{sum(one['class'] == 'arrow' for one in named):7}  arrow" in said
    assert main(command) == 0  # nothing is embedded again, and the same is written
    assert (out / "regions.jsonl").read_text().splitlines() == lines
    assert main([*command, "--model", "mini-maskclip"]) == 2
    assert (out / "regions.jsonl").read_text().splitlines() == lines


def test_examples_are_added(things, taught, tmp_path, capsys):
    more = tmp_path / "more.json"
    more.write_text(json.dumps([{"image": str(things / "new" / "a.png"), "name": "thing"}]))
    out = tmp_path / "more.safetensors"
    assert (
        main(["teach", str(more), "--add-to", str(taught), "--out", str(out), "--device", "cpu", "--views", "1"]) == 0
    )
    assert Classes.load(out).names == (*Classes.load(taught).names, "thing")


def test_flips_are_not_added_to_classes_without(things, taught, tmp_path, capsys):
    out = tmp_path / "out.safetensors"
    arguments = ["--add-to", str(taught), "--out", str(out), "--device", "cpu", "--flip"]
    assert main(["teach", str(things / "examples.json"), *arguments]) == 2
    error = capsys.readouterr().err
    assert "were taught without mirror images; leave --flip" in error
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.json"], "there are no examples at none.json"),
        (["{examples}", "--method", "magic"], "method 'magic' is unknown"),
        (["{examples}", "--add-to", "{examples}"], "holds no taught classes"),
        (["{examples}", "--add-to", "lost.safetensors"], "there is no file lost.safetensors"),
        (["{examples}", "--images", "elsewhere"], "are missing, the first one elsewhere"),
    ],
)
def test_what_cannot_be_used_is_said_before_a_model_is_loaded(arguments, said, things, tmp_path, capsys, monkeypatch):
    def never(*_, **__):
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("densevl.cli.teach.loading_of", never)
    given = [word.format(examples=things / "examples.json") for word in arguments]
    assert main(["teach", *given, "--model", "mini", "--out", str(tmp_path / "out.safetensors")]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out.safetensors").exists()


def test_classes_are_refused_by_name_and_content(things, tmp_path, capsys):
    text = tmp_path / "names.txt"
    text.write_text("arrow\nbolt\n")
    image = str(things / "new" / "a.png")
    assert main(["refer", image, "arrow", "--classes", str(text), "--model", "mini"]) == 2
    assert "holds no taught classes; make them with `densevl teach" in capsys.readouterr().err
    broken = tmp_path / "broken"
    broken.write_bytes((40).to_bytes(8, "little") + b'{"__metadata__":{"format":"densevl"}}   ' + bytes(64))
    assert main(["segment", image, "--classes", str(broken), "--model", "mini"]) == 1
    assert "broken" in capsys.readouterr().err


def test_nothing_is_written_where_teaching_fails(things, tmp_path, capsys):
    records = [{"image": str(things / "0.png"), "name": name, "box": [500, 0, 600, 9]} for name in ("a", "b")]
    records[1]["box"] = [1, 1, 40, 40]
    (tmp_path / "x.json").write_text(json.dumps(records))
    arguments = ["--model", "mini", "--out", str(tmp_path / "out.safetensors"), "--report", str(tmp_path / "report")]
    assert main(["teach", str(tmp_path / "x.json"), *arguments, "--device", "cpu"]) == 2
    assert "lies outside the image" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]
