"""The Python API with the shipped mini model."""

from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

import densevl
from densevl.core.lazy import Lazy
from densevl.datasets.scenes import GROUNDS, render

WORDS = [*GROUNDS, "red circle", ["blue star", "blue shape"]]


@pytest.fixture(scope="module")
def model():
    return densevl.load("mini", offline=True)


@pytest.fixture(scope="module")
def scene():
    return render(5, 0, size=(128, 160), split="val", count=(3, 4))


def test_images_of_every_kind_give_the_same_labels(model, scene, tmp_path):
    Image.fromarray(scene.image).save(tmp_path / "a.png")
    tensor = torch.from_numpy(scene.image).permute(2, 0, 1)
    kinds = [
        tmp_path / "a.png",
        str(tmp_path / "a.png"),
        Image.fromarray(scene.image),
        scene.image,
        scene.image / np.float32(255),
        tensor,
        tensor / 255,
    ]
    results = model.segment(kinds, WORDS)
    assert len(results) == len(kinds)
    assert all(np.array_equal(result.labels, results[0].labels) for result in results)


def test_it_finds_what_is_there(model):
    """Most pixels of the objects of held-out scenes, among the names of everything that is in the scene."""
    scenes = [render(5, index, split="val", count=(2, 4)) for index in range(8)]
    right = total = 0
    for scene in scenes:
        result = model.segment(scene.image, list(dict.fromkeys([*GROUNDS, *(item.name for item in scene.objects)])))
        for item in scene.objects:
            right += np.count_nonzero(result.mask(item.name) & item.mask)
            total += np.count_nonzero(item.mask)
    assert right / total > 0.6


def test_encode_once_and_ask_many_times(model, scene):
    encoded = model.encode(scene.image)
    for words in ("grass, red circle", "water, star|ring, heart"):
        assert np.array_equal(model.segment(encoded, words).labels, model.segment(scene.image, words).labels)
    mixed = model.segment([encoded, scene.image], "grass, sand")
    assert np.array_equal(mixed[0].labels, mixed[1].labels)


def test_scores_are_given_on_request_and_agree_with_the_labels(model, scene):
    result = model.segment(scene.image, WORDS, scores=True)
    assert result.scores.shape == (len(WORDS), *scene.image.shape[:2])
    torch.testing.assert_close(result.scores.sum(0), torch.ones(scene.image.shape[:2]), atol=1e-4, rtol=0)
    assert (result.scores.argmax(0).numpy() == result.labels).mean() > 0.999
    assert model.segment(scene.image, WORDS).scores is None


def test_background_modes(model, scene):
    plain = model.segment(scene.image, "red circle, blue star")
    assert plain.names == ("red circle", "blue star")
    for mode in ("literal", ["grass", "sand"], 0.9, "words"):
        result = model.segment(scene.image, "red circle, blue star", background=mode)
        assert result.names == ("background", "red circle", "blue star")
    words = model.segment(scene.image, [item.name for item in scene.objects[:1]], background=list(GROUNDS))
    assert words.areas()["background"] > 0.5


def test_save_writes_a_label_map(model, scene, tmp_path):
    result = model.segment(scene.image, WORDS)
    result.save(tmp_path / "labels.png")
    assert np.array_equal(np.array(Image.open(tmp_path / "labels.png")), result.labels)


def test_tiny_and_long_images_have_labels(model):
    for size in ((1, 1), (3, 4000), (500, 2)):
        image = np.full((*size, 3), 90, np.uint8)
        assert model.segment(image, "grass, sand").labels.shape == size


def test_overrides_change_the_protocol():
    model = densevl.load("mini", offline=True, short_side=96, background="literal")
    assert model.segmentor.protocol["short_side"] == 96
    assert model.segmentor.protocol["background"] == "literal"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "minni"}, "did you mean mini"),
        ({"device": "gpu"}, "device 'gpu'"),
        ({"dtype": "int4"}, "dtype must be one of"),
        ({"windows": 4}, "windows"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(densevl.UsageError, match=message):
        densevl.load(**{"name": "mini", "offline": True, **options})


def test_a_component_may_be_a_lazy_value_or_any_function_of_no_arguments(model):
    """None of them is called before it is used, and a built component is never called, though a Module can be."""

    class Makes:
        def __call__(self):
            return model.segmentor

    for later in (
        partial(lambda x: x, model.segmentor),
        Makes(),
        Lazy(lambda: model.segmentor),
        lambda: model.segmentor,
    ):
        assert densevl.Model(later).segmentor is model.segmentor
    built = densevl.Model(model.segmentor, embedder=model.embedder, mask_maker=partial(lambda x: x, model.mask_maker))
    assert built.segmentor is model.segmentor
    assert built.embedder is model.embedder
    assert built.mask_maker is model.mask_maker


def test_nothing_is_built_for_repr(model):
    def never():
        raise AssertionError("this would download weights")

    assert repr(densevl.Model(never, "later", never, never, never)) == "Model('later', not built yet)"
    assert "not built yet" in repr(densevl.load("maskclip", lazy=True))
    assert (
        repr(model) == f"Model('mini', encoder={model.segmentor.encoder.model_id!r}, device={model.segmentor.device})"
    )
    finds = densevl.Model(None, "finds", partial(lambda x: x, model.grounder))
    assert repr(finds) == "Model('finds', not built yet)"
    assert finds.grounder is model.grounder
    assert repr(finds) == f"Model('finds', grounder, device={model.grounder.device})"


def test_an_image_that_was_read_is_not_read_again(model, scene, monkeypatch):
    def again(*_, **__):
        raise AssertionError("a full copy")

    monkeypatch.setattr("densevl.core.images.read_image", again)
    image = np.ascontiguousarray(scene.image)
    assert model.encode(image).image is image
    assert model.segment(image, "grass, sand").labels.shape == image.shape[:2]
    assert len(model.embed(image, [[0, 0, 20, 20]])) == 1


def test_bfloat16_labels_are_nearly_those_of_float32(model, scene):
    half = densevl.load("mini", offline=True, dtype="bfloat16")
    same = half.segment(scene.image, WORDS).labels == model.segment(scene.image, WORDS).labels
    assert same.mean() > 0.95


def test_a_model_of_certain_words_says_how_it_reads_them(model):
    photo = densevl.load("photo")
    words = photo.read_words("red cat; giraffe")
    assert words.remarks == ("'red cat': read as 'cat'; 'red' is not used",)
    assert list(words.unknown) == ["giraffe"]
    assert photo.read_texts(["dogs", "dogs", "xyzzy"]).summary == "knows 1 of 2, not xyzzy"
    assert photo.read_words(photo.embed_classes("cat, dog")) is None
    assert model.read_words("red cat; giraffe") is None
    assert model.read_texts(["giraffe"]) is None
