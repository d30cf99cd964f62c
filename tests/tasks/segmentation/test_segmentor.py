"""The segmentor against the protocol written out plainly, on a small CLIP with random weights."""

from copy import deepcopy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from open_clip import CLIP, SimpleTokenizer
from toys.dense import dense

from densevl.classifiers.text import TextClassifier, grid_logits
from densevl.core.errors import UsageError, WeightsError
from densevl.core.features import TextEmbeddings
from densevl.core.vocabulary import Vocabulary
from densevl.dense.refiners.dinoiser import DinoiserRefiner
from densevl.encoders.clip import CLIPEncoder
from densevl.tasks.segmentation.segmentor import Segmentor

ANIMALS = Vocabulary.parse("cat, sofa|couch|settee, dog")


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    vision = {"image_size": 32, "patch_size": 8, "width": 48, "head_width": 16, "layers": 3}
    text = {"context_length": 24, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
    return CLIPEncoder(CLIP(24, vision, text).eval(), SimpleTokenizer(context_length=24), "tiny")


def make(encoder, **options):
    return Segmentor(encoder, **{"templates": "plain", "short_side": 40, "window": 32, "stride": 16, **options})


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def plain_scores(segmentor, encoded, texts):
    """Upsample each window, accumulate at full size, divide by the count, resize."""
    plan, probabilities = encoded.plan, segmentor.probabilities(encoded, texts).double()
    total = torch.zeros(probabilities.shape[1], *plan.size, dtype=torch.float64)
    count = torch.zeros(plan.size, dtype=torch.float64)
    height, width = plan.window_size
    corners = [(y, x) for y in plan.ys for x in plan.xs]
    for (y, x), window in zip(corners, probabilities, strict=True):
        grid = [n * encoded.features.patch_size for n in window.shape[1:]]
        up = F.interpolate(window[None], grid, mode="bilinear")[0, :, :height, :width]
        total[:, y : y + height, x : x + width] += up
        count[y : y + height, x : x + width] += 1
    return F.interpolate((total / count)[None], encoded.size, mode="bilinear")[0]


@pytest.mark.parametrize("size", [(50, 70), (33, 120), (8, 9)])
def test_labels_are_those_of_the_plain_protocol(encoder, size):
    segmentor = make(encoder)
    encoded = segmentor.encode([picture(*size)])[0]
    texts = segmentor.embed(ANIMALS)
    labels, best = segmentor.label(encoded, texts)
    expected = plain_scores(segmentor, encoded, texts)
    assert labels.shape == size
    torch.testing.assert_close(best.double(), expected.amax(0), atol=1e-6, rtol=0)
    assert torch.equal(labels[clear(expected)], expected.argmax(0)[clear(expected)])
    torch.testing.assert_close(segmentor.scores(encoded, texts).double(), expected, atol=1e-6, rtol=0)


def clear(scores):
    """Pixels whose two best classes differ by more than rounding."""
    first, second = scores.topk(2, dim=0).values
    return first - second > 1e-6


def test_a_batch_gives_what_its_members_give(encoder):
    segmentor = make(encoder, window_batch=3)
    images = [picture(50, 70, 1), picture(70, 50, 2), picture(50, 70, 3), picture(20, 90, 4)]
    texts = segmentor.embed(ANIMALS)
    for one, many in zip((segmentor.encode([i])[0] for i in images), segmentor.encode(images), strict=True):
        torch.testing.assert_close(one.features.grid, many.features.grid, atol=1e-5, rtol=1e-5)
        assert torch.equal(segmentor.label(one, texts)[0], segmentor.label(many, texts)[0])


def test_synonyms_are_reduced_by_max_over_every_class():
    torch.manual_seed(1)
    grid = torch.randn(2, 6, 3, 4)
    vectors = F.normalize(torch.randn(5, 6), dim=1)
    texts = TextEmbeddings(vectors, torch.tensor(ANIMALS.query_classes), ANIMALS, "tiny", "none")
    cosines = torch.einsum("qd,ndhw->nqhw", vectors, F.normalize(grid, dim=1))
    logits = torch.stack([cosines[:, 0], cosines[:, 1:4].amax(1), cosines[:, 4]], dim=1)
    probabilities = grid_logits(grid, TextClassifier(texts, 10.0)).softmax(1)
    torch.testing.assert_close(probabilities, (10 * logits).softmax(1))


def test_classes_may_come_in_any_order(encoder):
    segmentor = make(encoder)
    encoded = segmentor.encode([picture(50, 70)])[0]
    forward = segmentor.label(encoded, segmentor.embed(Vocabulary.parse("cat, tree, dog")))[0]
    backward = segmentor.label(encoded, segmentor.embed(Vocabulary.parse("dog, tree, cat")))[0]
    assert torch.equal(forward, 2 - backward)


def test_threshold_sends_unsure_pixels_to_the_background(encoder):
    segmentor = make(encoder, temperature=5.0)
    encoded = segmentor.encode([picture(50, 70)])[0]
    labels, best = segmentor.label(encoded, segmentor.embed(ANIMALS))
    middle = float(best.median())
    texts = segmentor.embed(ANIMALS, background=middle)
    assert texts.vocabulary.names == ("background", *ANIMALS.names)
    with_background, same_best = segmentor.label(encoded, texts)
    torch.testing.assert_close(same_best, best)
    assert torch.equal(with_background, torch.where(best < middle, 0, labels + 1))


def test_literal_background_is_one_more_query(encoder):
    segmentor = make(encoder)
    encoded = segmentor.encode([picture(50, 70)])[0]
    literal = segmentor.label(encoded, segmentor.embed(ANIMALS, "literal"))[0]
    written = segmentor.label(encoded, segmentor.embed(Vocabulary.parse("background, cat, sofa|couch|settee, dog")))[0]
    assert torch.equal(literal, written)


@pytest.fixture(scope="module")
def heads():
    return DinoiserRefiner(48, 16, "blocks.0.ln_2", encoder_id="tiny", name="heads").requires_grad_(False)


def test_a_refiner_gets_the_maps_that_it_reads(encoder, heads):
    plain, refined = make(encoder, window_batch=2), make(encoder, window_batch=2, refiners=[heads])
    windows = torch.rand(3, 3, 32, 32)
    features = dense(encoder, windows, plain.readout, maps=["blocks.0.ln_2"])
    expected, encoded = heads(features), refined.dense(windows)
    torch.testing.assert_close(encoded.grid, expected.grid)
    torch.testing.assert_close(encoded.foreground, expected.foreground)
    assert not encoded.maps
    assert plain.dense(windows).foreground is None
    assert refined.protocol["refiners"] == ["heads, gamma 0.2"]


def test_background_by_head(encoder, heads):
    heads = deepcopy(heads)
    segmentor = make(encoder, refiners=[heads], temperature=30.0, background="head:0.7")
    heads.bkg_decoder.bias -= segmentor.encode([picture(50, 70)])[0].features.foreground.median()
    encoded = segmentor.encode([picture(50, 70)])[0]
    literal, texts = (segmentor.embed(ANIMALS, mode) for mode in ("literal", None))
    assert texts.vocabulary == literal.vocabulary
    before, after = (segmentor.probabilities(encoded, t) for t in (literal, texts))
    foreground = encoded.features.foreground
    marked = (before.amax(1) < 0.7) & (foreground <= 0)
    assert 0 < marked.sum() < marked.numel()
    assert torch.equal(after[:, 0] == 1, marked)
    assert torch.equal(after[:, 1:], before[:, 1:])
    expected = plain_scores(segmentor, encoded, texts)
    labels, _ = segmentor.label(encoded, texts)
    assert torch.equal(labels[clear(expected)], expected.argmax(0)[clear(expected)])


def test_background_by_head_needs_a_head(encoder, heads):
    with pytest.raises(UsageError, match="such as dinoiser"):
        make(encoder, background="head")
    segmentor = make(encoder)
    with pytest.raises(UsageError, match="such as dinoiser"):
        segmentor.embed(ANIMALS, "head")
    texts = make(encoder, refiners=[heads]).embed(ANIMALS, "head")
    with pytest.raises(UsageError, match="encoded without a background head"):
        segmentor.probabilities(segmentor.encode([picture(50, 70)])[0], texts)


def test_heads_of_another_encoder_are_refused_when_the_model_is_built(encoder):
    other = DinoiserRefiner(48, 16, "blocks.0.ln_2", encoder_id="other@1")
    with pytest.raises(WeightsError, match="made for other@1 of width 48, and the encoder is tiny of width 48"):
        make(encoder, refiners=[other])
    with pytest.raises(WeightsError, match="of width 24"):
        make(encoder, refiners=[DinoiserRefiner(24)])


def test_smoothing_and_denoising_change_what_they_should(encoder):
    plain, refined = (
        make(encoder),
        make(
            encoder,
            stages=[{"type": "prompt-denoising", "threshold": 0.3}, {"type": "key-smoothing", "threshold": 1.0}],
        ),
    )
    encoded = refined.encode([picture(50, 70)])[0]
    assert encoded.features.keys is not None
    assert plain.encode([picture(50, 70)])[0].features.keys is None
    texts = plain.embed(ANIMALS)
    assert not torch.allclose(refined.probabilities(encoded, texts), plain.probabilities(encoded, texts))


def test_texts_of_another_model_are_refused(encoder):
    segmentor = make(encoder)
    encoded = segmentor.encode([picture(50, 70)])[0]
    texts = segmentor.embed(ANIMALS)
    foreign = TextEmbeddings(texts.vectors, texts.query_classes, ANIMALS, "another", "plain")
    with pytest.raises(UsageError, match="same model"):
        segmentor.label(encoded, foreign)


def test_protocol_is_plain_values(encoder):
    protocol = make(encoder, background="threshold:0.3").protocol
    assert protocol["encoder"] == "tiny"
    assert protocol["background"] == "threshold:0.3"
    assert all(isinstance(v, str | int | float | list | None) for v in protocol.values())


@pytest.mark.parametrize(
    "options", [{"stride": 33}, {"stride": 0}, {"average": "cosines"}, {"positions": "x"}, {"border": "x"}]
)
def test_bad_options_are_named(encoder, options):
    with pytest.raises(UsageError, match=next(iter(options))):
        make(encoder, **options)


def test_unknown_parts_are_named(encoder):
    with pytest.raises(UsageError, match="readout 'masklip'"):
        make(encoder, readout="masklip")


def test_averaging_logits_is_not_averaging_probabilities(encoder):
    texts = make(encoder).embed(ANIMALS)
    image = picture(50, 70)
    found = []
    for average in ("probabilities", "logits"):
        segmentor = make(encoder, average=average)
        (encoded,) = segmentor.encode([image])
        scores = segmentor.scores(encoded, texts)
        torch.testing.assert_close(scores.sum(0), torch.ones(50, 70), atol=1e-4, rtol=0)
        labels, best = segmentor.label(encoded, texts)
        assert torch.equal(labels, scores.argmax(0)) or average == "probabilities"
        torch.testing.assert_close(best, scores.amax(0), atol=1e-5, rtol=0)
        found.append(scores)
    assert not torch.allclose(*found, atol=1e-4)


def test_settings_that_would_be_ignored_are_refused(encoder, heads):
    with pytest.raises(UsageError, match="which average=logits does not make"):
        make(encoder, average="logits", refiners=[heads], background="head")
    with pytest.raises(UsageError, match=r"prompt-denoising\(threshold=0.5\) changes"):
        make(encoder, average="logits", stages=["prompt-denoising"])


def test_pixels_are_smoothed_behind_everything_else(encoder):
    texts = make(encoder).embed(ANIMALS)
    plain, smoothed = make(encoder), make(encoder, stages=[{"type": "pamr", "steps": 2, "dilations": [2]}])
    before, after = (one.scores(one.encode([picture(50, 70)])[0], texts) for one in (plain, smoothed))
    assert not torch.allclose(before, after, atol=1e-4)
    (unseen,) = plain.encode([picture(50, 70)])
    with pytest.raises(UsageError, match="reads the image, which was encoded without it"):
        smoothed.label(unseen, texts)
