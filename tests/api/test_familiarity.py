"""Whether images are of the kind that a model knows, from Python."""

import numpy as np
import pytest
import torch
from PIL import Image

import densevl
from densevl.api.jobs.familiarity import Unfamiliar, familiarity_record, known_by
from densevl.core.errors import UsageError
from densevl.datasets.scenes import render

PLAIN = ("mini", "mini-maskclip", "mini-naclip", "mini-regions", "mini-cloc")


@pytest.fixture(scope="module")
def model():
    return densevl.load("mini-maskclip", device="cpu")


@pytest.fixture(scope="module")
def scenes():
    return [render(5, index, size, "val").image for index, size in enumerate([128, (160, 213), 192, (256, 192), 128])]


@pytest.fixture(scope="module")
def others():
    """Images that are no scenes: random pixels, a gradient, a bright colour."""
    draw = np.random.default_rng(0)
    noise = draw.integers(0, 256, (90, 120, 3), dtype=np.uint8)
    slope = np.linspace(0, 255, 120).astype(np.uint8)
    return [noise, np.broadcast_to(slope[None, :, None], (90, 120, 3)).copy(), np.full((90, 120, 3), 255, np.uint8)]


def never(*_, **__):
    raise AssertionError("the image was encoded once more")


def test_scenes_are_known_and_others_are_not(model, scenes, others):
    assert min(model.familiarity(scenes)) > model.known.level
    assert max(model.familiarity(others)) <= model.known.level
    assert model.known.what == "drawn scenes"


def test_the_pictures_of_the_demo_are_known(model, root):
    for path in sorted((root / "demo" / "images").glob("*.png")):
        assert model.familiarity(path) > 0.01, path.name


def test_one_image_has_one_p_value(model, scenes, others):
    """Alone, in a list, encoded before, or as what segmenting says beside the labels."""
    images = [*scenes, *others]
    alone = [model.familiarity(image) for image in images]
    assert model.familiarity(images) == alone
    encoded = model.encode(images)
    assert model.familiarity(encoded) == pytest.approx(alone, abs=2e-3)
    summaries = torch.stack([one.summary for one in encoded])
    torch.testing.assert_close(summaries, model.segmentor.summarise(images), atol=1e-4, rtol=1e-4)
    labelled = model.segment(encoded, "ring, grass")
    assert [one.familiarity for one in labelled] == model.familiarity(encoded)
    assert model.familiarity([]) == []


def test_an_encoded_image_is_not_encoded_again(model, scenes, monkeypatch):
    encoded = model.encode(scenes[0])
    monkeypatch.setattr(type(model.segmentor.encoder), "last_block", never)
    assert 0 < model.familiarity(encoded) <= 1


@pytest.mark.parametrize("name", PLAIN)
def test_every_mini_model_knows_scenes(name, scenes, others):
    model = densevl.load(name, device="cpu", lazy=True)
    assert model.familiarity(scenes[0]) > model.known.level
    assert model.familiarity(others[0]) <= model.known.level


def test_windows_and_refiners_keep_the_summary(scenes):
    """The mean over the windows; the refiner cuts patches and changes nothing of it."""
    model = densevl.load("mini", device="cpu", window=96, stride=48)
    encoded = model.encode(scenes[0])
    assert len(encoded.features.grid) == 9
    torch.testing.assert_close(encoded.summary, model.segmentor.summarise([scenes[0]])[0], atol=1e-4, rtol=1e-4)


def test_other_weights_know_nothing_and_say_so(scenes):
    model = densevl.load("mini-maskclip", device="cpu", weights="random:3")
    assert model.known is None
    assert model.segment(scenes[0], "ring, grass").familiarity is None
    with pytest.raises(UsageError, match=r"nobody says what kind of images model 'mini-maskclip' knows.*learn_known"):
        model.familiarity(scenes[0])


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    """Twenty small images of smooth colours."""
    folder = tmp_path_factory.mktemp("smooth")
    draw = np.random.default_rng(1)
    for number in range(20):
        corner = draw.integers(0, 256, (3, 3, 3), dtype=np.uint8)
        Image.fromarray(corner).resize((96, 96), Image.Resampling.BICUBIC).save(folder / f"{number}.png")
    return folder


def test_a_model_is_shown_images_of_a_user(model, scenes, references, tmp_path, monkeypatch):
    """They are encoded once; their statistics belong to one encoder."""
    monkeypatch.setenv("DENSEVL_CACHE", str(tmp_path / "cache"))
    known = known_by(model, str(references))
    p = known.p_values(model.segmentor.summarise([scenes[0]]))
    assert p == [known.level] == [1 / 21]
    assert known.what == f"images of {references}"
    with monkeypatch.context() as patch:
        patch.setattr(type(model.segmentor.encoder), "last_block", never)
        assert known_by(model, str(references)).digest == known.digest
    known.save(tmp_path / "own.safetensors")
    assert known_by(model, str(tmp_path / "own.safetensors")).digest == known.digest
    other = densevl.load("mini-maskclip", device="cpu", weights="random:3")
    with pytest.raises(UsageError, match="was learnt from features of 'mini-clip@94691bf68e1f', and this encoder"):
        known_by(other, str(tmp_path / "own.safetensors"))


def test_a_model_without_a_segmentor_looks_with_its_encoder(scenes, references):
    model = densevl.load({"grounder": {"embedders": [{"type": "marked-images", "encoder": _clip()}]}}, device="cpu")
    assert model.known is None
    model.known = model.learn_known(sorted(references.iterdir()))
    assert model.familiarity(scenes[0]) == model.known.level
    assert model.view["short_side"] == 128


def _clip():
    return {"type": "clip", "weights": "mini-clip"}


def test_one_line_names_the_images_and_the_cure(model):
    one, many = Unfamiliar("mini"), Unfamiliar("mini")
    one.note("cat.jpg", familiarity_record(model.known, 0.001))
    assert one.line == (
        "densevl: cat.jpg does not look like the drawn scenes that mini knows (p = 0.001); what is said of it means "
        "nothing; take a model of photos: photo, or a CLIP such as dinoiser"
    )
    for number in range(9):
        many.note(f"{number}.jpg", familiarity_record(model.known, 0.5 if number < 4 else 0.001))
    many.note("untested.jpg", None)
    assert "5 of 9 images do not look like the drawn scenes that mini knows: 4.jpg, 5.jpg, 6.jpg, …" in many.line
    assert Unfamiliar("mini").line == ""
