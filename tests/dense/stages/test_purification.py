"""FreeCP against plain loops in double precision, and at its limits."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from toys.clip import tiny_clip
from toys.readouts import some_texts

from densevl.core.attention import run_block
from densevl.core.errors import UsageError
from densevl.core.features import DenseFeatures, TextEmbeddings
from densevl.core.vocabulary import Vocabulary
from densevl.dense.encoder import DenseEncoder
from densevl.dense.stages.purification import Purification, boxes_of, inner_affinity, purify
from densevl.encoders.contracts import Needs
from densevl.tasks.segmentation.segmentor import Segmentor


@pytest.fixture(scope="module")
def dense():
    made = tiny_clip()
    made.model.float().eval().requires_grad_(False)
    return DenseEncoder(made, "maskclip")


def images(dense, count=1):
    side = dense.encoder.patch_size
    return torch.rand(count, 3, 5 * side, 7 * side, generator=torch.Generator().manual_seed(0))


def probabilities(classes, seed=1):
    draw = torch.Generator().manual_seed(seed)
    coarse = torch.randn(1, classes, 2, 3, generator=draw)
    return (4 * F.interpolate(coarse, (5, 7), mode="bilinear")).softmax(1)


def features(dense, count=1):
    return DenseFeatures(torch.zeros(count, dense.encoder.dim, 5, 7), dense.encoder.patch_size, "toy")


def texts_of(dense, classes, background=None):
    vectors = torch.randn(classes, dense.encoder.dim, generator=torch.Generator().manual_seed(9))
    vocabulary = Vocabulary("toy", tuple((f"class {i}",) for i in range(classes)), background=background)
    units = F.normalize(vectors, dim=1)
    return TextEmbeddings(units, torch.arange(classes), vocabulary, dense.encoder.model_id, "none")


@pytest.mark.parametrize("head", [0, 1, None])
def test_affinity(dense, head):
    last = dense.encoder.last_block(images(dense), Needs(states=(0,)))
    block = last.blocks[0]
    queries, keys = block.qkv(block.norm_1(last.states[0]), "qk")
    attention = (queries @ keys.mT / queries.shape[3] ** 0.5).softmax(-1)[0].double()
    attention = (attention.mean(0) if head is None else attention[head])[1:, 1:]
    for _ in range(3):
        attention = attention / attention.sum(0)
        attention = attention / attention.sum(1)[:, None]
    attention = (attention + attention.T) / 2
    expected = torch.einsum("ij,jk->ik", attention, attention)
    torch.testing.assert_close(inner_affinity(last, head).double(), expected, rtol=1e-4, atol=1e-6)


def test_boxes():
    maps = F.interpolate(torch.rand(6, 1, 3, 5, generator=torch.Generator().manual_seed(2)), (12, 20))[:, 0]
    found, owners = boxes_of(maps)
    for index, one in enumerate(maps.numpy()):
        grey = (one * 255).astype(np.uint8)
        above = (grey > int(0.4 * grey.max())).astype(np.uint8)
        count, _, stats, _ = cv2.connectedComponentsWithStats(above, connectivity=8)
        expected = {(x, y, min(x + w, 19), min(y + h, 11)) for x, y, w, h, _ in stats[1:].tolist()}
        assert {tuple(box) for box in found[owners == index].tolist()} == expected
        assert (owners == index).sum() == count - 1


def test_refined_maps():
    draw = torch.Generator().manual_seed(3)
    before, affinity = probabilities(4)[0], torch.rand(35, 35, generator=draw)
    maps = (before - before.min()) / (before.max() - before.min())
    after, keep = purify(before, maps, affinity, 0.15)
    for c in range(4):
        inside = torch.zeros(5, 7)
        boxes, owners = boxes_of(maps)
        for x0, y0, x1, y1 in boxes[owners == c].tolist():
            inside[y0:y1, x0:x1] = 1
        flat = (inside * maps[c]).flatten().double()
        refined = torch.stack([sum(affinity[i, j] * flat[j] for j in range(35)) for i in range(35)]).view(5, 7)
        refined = (refined - refined.min()) / (refined.max() - refined.min() + 1e-8)
        torch.testing.assert_close(after[c].double(), refined, rtol=1e-4, atol=1e-5)
        share = (before[c] * refined).sum() / (before[c].sum() + refined.sum() + 1e-8)
        assert keep[c] == (share > 0.15)


def test_a_look_decides_between_classes_of_one_place(dense):
    """Two classes with the same map: the crop says which."""
    image, texts = images(dense), texts_of(dense, 3)
    one = torch.full((5, 7), 0.02)
    one[1:4, 1:5] = 0.48
    given = torch.stack([one, one, 1 - 2 * one])[None]
    found = Purification(0.0, 0.8)(given, features(dense), image, texts, dense)
    side = dense.encoder.patch_size
    last = dense.encoder.last_block(image, Needs(states=(0,)))
    after, keep = purify(given[0], (given[0] - given.min()) / (given.max() - given.min()), inner_affinity(last), 0.0)
    assert keep.all()
    crops = [
        image[:, :, y0 * side : y1 * side, x0 * side : x1 * side] for x0, y0, x1, y1 in boxes_of(after[:1])[0].tolist()
    ]
    winners = set()
    for crop in crops:
        last = dense.encoder.last_block(F.interpolate(crop, (112, 112), mode="bilinear"))
        vector = last.pool(run_block(last.block, last.tokens)["out"])[0]
        winners.add(int((texts.vectors[:2] @ vector).argmax()))
    for c in range(2):
        torch.testing.assert_close(found[0, c], after[c] if c in winners else torch.zeros(5, 7))
    assert found[0, 2].equal(after[2])


def test_redundant_classes_and_the_background(dense):
    given = probabilities(4)
    found = Purification(0.49, 0.7)(given, features(dense), images(dense), texts_of(dense, 4, background=1), dense)
    assert found[0, 1].eq(0.5).all()
    assert found[0, [0, 2, 3]].eq(0).all(), "none agrees so well"
    found = Purification(0.0, 1.0)(given, features(dense), images(dense), texts_of(dense, 4), dense)
    assert found.amax((2, 3)).gt(0.99).all()


def test_windows_by_themselves(dense):
    given = torch.cat([probabilities(4), probabilities(4, seed=5)])
    stage, seen, texts = Purification(0.1, 0.7), images(dense, 2), texts_of(dense, 4)
    both = stage(given, features(dense, 2), seen, texts, dense)
    for i in range(2):
        alone = stage(given[i : i + 1], features(dense), seen[i : i + 1], texts, dense)
        torch.testing.assert_close(both[i], alone[0], rtol=1e-4, atol=1e-5)


def test_one_class_and_one_colour(dense):
    stage, one_colour = Purification(), torch.full_like(images(dense), 0.5)
    alone = torch.ones(1, 1, 5, 7)
    assert stage(alone, features(dense), one_colour, texts_of(dense, 1), dense).equal(alone)
    same = torch.full((1, 4, 5, 7), 0.25)
    assert stage(same, features(dense), one_colour, texts_of(dense, 4), dense).equal(same)
    assert stage(probabilities(4), features(dense), one_colour, texts_of(dense, 4), dense).isfinite().all()


def test_another_grid(dense):
    given = F.interpolate(probabilities(4), (10, 14))
    with pytest.raises(UsageError, match=r"patches of the encoder, 5×7, and the head gives 10×14; take one that keeps"):
        Purification()(given, features(dense), images(dense), texts_of(dense, 4), dense)


def test_a_head_that_is_not_there(dense):
    with pytest.raises(UsageError, match="reads attention head 99"):
        Purification(head=99)(probabilities(4), features(dense), images(dense), texts_of(dense, 4), dense)


@pytest.mark.parametrize("settings", [{"redundant": 0.5}, {"redundant": -0.1}, {"ambiguous": 0.0}, {"ambiguous": 1.1}])
def test_bad_settings(settings):
    with pytest.raises(UsageError, match=r"redundant from 0 up to below 0.5 and ambiguous above 0 up to 1"):
        Purification(**settings)


def test_in_a_segmentor(dense):
    segmentor = Segmentor(dense.encoder, "maskclip", templates="none", window=32, stride=16, stages=["freecp"])
    texts = some_texts(dense.encoder)
    (encoded,) = segmentor.encode_resized([images(dense)[0]], [(40, 60)])
    labels, best = segmentor.label(encoded, texts)
    assert labels.shape == best.shape == (40, 60)
    assert encoded.encoder is segmentor.dense
    assert not set(dict(segmentor.named_parameters())) - {
        f"dense.{name}" for name, _ in segmentor.dense.named_parameters()
    }
    for missing in ({"pixels": None}, {"encoder": None}):
        with pytest.raises(UsageError, match="reads the image, which was encoded without it; encode it again"):
            segmentor.label(replace(encoded, **missing), texts)
