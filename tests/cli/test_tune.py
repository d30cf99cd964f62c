"""``densevl tune`` as it is typed."""

import json

import pytest
from toys.tuning import two_colours

import densevl
from densevl.cli import main
from densevl.core.delta import Delta

CROPS = 'embedder={"type": "marked-images", "visual_prompts": ["crop"], "size": 32, "mode": "keep"}'


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("colours")
    images = two_colours(folder, 6)
    records = [{"image": image.name, "name": ("red", "blue")[n % 2]} for n, image in enumerate(images)]
    (folder / "examples.json").write_text(json.dumps(records))
    return folder / "examples.json"


def tune(examples, out, *more):
    return main(["tune", str(examples), "--model", "mini-clip", "--set", CROPS, "--out", str(out), *map(str, more)])


def test_classes_weights_and_pictures_are_written_and_the_work_folder_is_removed(examples, tmp_path, capsys):
    out, fold = tmp_path / "classes.safetensors", tmp_path / "tuned.safetensors"
    code = tune(examples, out, "--steps", 2, "--batch", 4, "--fold", fold, "--report", tmp_path / "report")
    printed = capsys.readouterr().out
    assert code == 0
    assert "clip-svd, 6912 numbers tuned" in printed
    assert "nothing was held out" in printed
    assert (tmp_path / "report" / "examples.png").is_file()
    assert {path.name for path in tmp_path.iterdir()} == {out.name, fold.name, "tuned.json", "report"}
    with_delta = densevl.load("mini-clip", **{"encoder.delta": out}).segmentor.encoder
    plain = densevl.load("mini-clip", weights=fold).segmentor.encoder
    for name, value in plain.model.state_dict().items():
        assert (value - with_delta.model.state_dict()[name]).abs().max() <= 1e-6, name
    assert plain.model_id != with_delta.model_id


def test_a_work_folder_of_ones_own_stays(examples, tmp_path):
    assert tune(examples, tmp_path / "c.safetensors", "--steps", 1, "--batch", 2, "--work-dir", tmp_path / "work") == 0
    assert (tmp_path / "work" / "last_checkpoint").is_file()
    assert Delta.load(tmp_path / "c.safetensors").images


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--method", "clipsvd"], "method 'clipsvd' is unknown; did you mean clip-svd"),
        (["--set", "optimizer.lr=-1"], "optimizer.lr of tuning is a number above 0; got -1"),
        (["--set", "no_such=1"], "no_such"),
        (["--fold", "tuned.pt"], "weights are written as .safetensors"),
    ],
)
def test_bad_options_are_one_line_and_nothing_is_written(examples, tmp_path, capsys, more, message):
    assert tune(examples, tmp_path / "c.safetensors", *more) == 2
    printed = capsys.readouterr().err.strip().splitlines()
    assert printed[-1].startswith("densevl: error: ")
    assert message in printed[-1]
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_said_first(examples, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert tune(examples, tmp_path / "file" / "c.safetensors") in (1, 2)
    assert "cannot write" in capsys.readouterr().err
    assert tune(examples, tmp_path) == 2
    assert "is a folder" in capsys.readouterr().err


def test_images_that_the_model_does_not_know_are_named(root, tmp_path, capsys):
    photos = [
        {"image": str(root / "demo" / "photos" / name), "name": name[:3]}
        for name in ("cat.png", "coffee.png")
        for _ in range(2)
    ]
    file = tmp_path / "photos.json"
    file.write_text(json.dumps(photos))
    out = tmp_path / "c.safetensors"
    options = ["--for", "images", "--method", "coop", "--steps", "1", "--batch", "2", "--out", str(out)]
    assert main(["tune", str(file), "--model", "mini", *options]) == 0
    assert "2 of 2 images do not look like" in capsys.readouterr().err
