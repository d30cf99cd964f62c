"""ResCLIP against its equations, and what it asks for."""

import pytest
import torch
import torch.nn.functional as F
from toys.clip import tiny_clip
from toys.readouts import some_texts

from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings
from densevl.core.vocabulary import Vocabulary
from densevl.dense.encoder import DenseEncoder
from densevl.dense.operations.feedback import feedback_of_labels
from densevl.dense.operations.places import neighbour_bias
from densevl.dense.readouts import resclip
from densevl.dense.readouts.resclip import ResCLIPReadout, patch_labels
from densevl.dense.stages.pamr import PAMR
from densevl.encoders.contracts import Needs


@pytest.fixture(scope="module")
def tiny():
    made = tiny_clip()
    made.model.float().eval().requires_grad_(False)
    return made


def images(tiny):
    side = tiny.patch_size
    return torch.rand(2, 3, 3 * side, 5 * side, generator=torch.Generator().manual_seed(0))


def test_the_equations(tiny):
    texts, readout = some_texts(tiny), ResCLIPReadout((1, 2), 0.3, 2.0, 0.6, 1.7, threshold=0.34, steps=3)
    found = DenseEncoder(tiny, readout)(images(tiny), texts=texts).grid
    last = tiny.last_block(images(tiny), Needs(states=(0, 1)))
    keys, values = last.block.qkv(last.block.norm_1(last.tokens), "kv")
    scale = keys.shape[3] ** -0.5
    crossed = 0
    for place, block in enumerate(last.blocks):
        q, k = block.qkv(block.norm_1(last.states[place]), "qk")
        crossed = crossed + (q @ k.mT * scale).softmax(-1) / 2
    places = F.pad(neighbour_bias(last.grid, 5.0, keys.device), (1, 0, 1, 0))
    for image in range(2):

        def features(alike, image=image):
            mixed = 2.0 * (0.7 * (alike + places).softmax(-1) + 0.3 * crossed[image])
            tokens = last.block.out((mixed @ values[image])[None])
            return tiny.to_joint(tokens)[0, 1:].T.unflatten(1, last.grid)

        own = keys[image] @ keys[image].mT * scale
        labels = patch_labels(features(own), images(tiny)[image], texts, 0.34, 40.0, 3)
        alike = feedback_of_labels(labels[None])[0]
        alike = F.pad(alike / alike.max(), (1, 0, 1, 0))
        expected = features(1.7 * (0.4 * own + 0.6 * alike))
        torch.testing.assert_close(found[image], expected, rtol=1e-3, atol=1e-5)


def test_first_labels(monkeypatch):
    """Several queries to a class, a background, and a few texts at a time."""
    draw = torch.Generator().manual_seed(3)
    grid, image = torch.randn(6, 3, 4, generator=draw), torch.rand(3, 12, 16, generator=draw)
    vectors = F.normalize(torch.randn(5, 6, generator=draw), dim=1)
    owners = torch.tensor([0, 2, 2, 3, 3])
    vocabulary = Vocabulary("toy", (("a",), ("other",), ("b",), ("c",)), background=1)
    texts = TextEmbeddings(vectors, owners, vocabulary, "toy", "none")
    cosines = torch.einsum("qd,dhw->qhw", vectors, F.normalize(grid, dim=0))
    refined = PAMR(2)(F.interpolate(cosines[None], (12, 16), mode="bilinear")[0], image)
    best, winner = (5 * refined).softmax(0).max(0)
    labels = torch.where(best < 0.4, 1, owners[winner])
    assert 0 < (best < 0.4).float().mean() < 1
    expected = [
        [labels[4 * y : 4 * y + 4, 4 * x : 4 * x + 4].flatten().bincount().argmax() for x in range(4)] for y in range(3)
    ]
    assert patch_labels(grid, image, texts, 0.4, 5.0, 2).tolist() == torch.tensor(expected).tolist()
    monkeypatch.setattr(resclip, "VALUES_AT_ONCE", 400)
    assert patch_labels(grid, image, texts, 0.4, 5.0, 2).tolist() == torch.tensor(expected).tolist()


def test_an_image_of_one_colour_and_one_class(tiny):
    texts = some_texts(tiny)
    one = TextEmbeddings(texts.vectors[:1], torch.zeros(1).long(), Vocabulary.parse("a"), tiny.model_id, "none")
    dense = DenseEncoder(tiny, ResCLIPReadout((1,)))
    for asked in (texts, one):
        assert dense(torch.full_like(images(tiny), 0.5), texts=asked).grid.isfinite().all()


def test_needs():
    assert ResCLIPReadout().needs == Needs(images=True, texts=True, states=(5, 6, 7, 8))
    assert ResCLIPReadout(feedback=0).needs == Needs(states=(5, 6, 7, 8))
    assert ResCLIPReadout(residual=0, feedback=0).needs == Needs()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"blocks": []}, "counted from 1"),
        ({"blocks": [0]}, "counted from 1"),
        ({"residual": 1.5}, "between 0 and 1"),
        ({"feedback": -0.1}, "between 0 and 1"),
        ({}, "attention of block 9, and the image tower of .* has 2; name others in its setting blocks"),
    ],
)
def test_bad_settings(tiny, settings, said):
    with pytest.raises(UsageError, match=said):
        DenseEncoder(tiny, {"type": "resclip", **settings})


def test_texts_are_asked_for(tiny):
    with pytest.raises(UsageError, match="needs the texts while it encodes"):
        DenseEncoder(tiny, ResCLIPReadout((1,)))(images(tiny))
    last = tiny.last_block(images(tiny), ResCLIPReadout((1,)).needs)
    with pytest.raises(UsageError, match="reads images and texts for its feedback, and was given none"):
        ResCLIPReadout((1,))(last)
