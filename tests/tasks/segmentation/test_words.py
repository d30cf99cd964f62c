"""Ways to read several names and templates, through the whole segmentor: labels are those of the scores."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from toys.clip import tiny_clip

from densevl.classifiers.floss import merge_experts
from densevl.classifiers.templates import TemplateEntropies
from densevl.core.vocabulary import Vocabulary, templates
from densevl.tasks.segmentation.segmentor import Segmentor

THINGS = Vocabulary.parse("cat, sofa|couch|settee, dog")
SETTINGS = {"templates": "tcl", "short_side": 40, "window": 32, "stride": 16, "temperature": 20.0}
CLASSIFIERS = {
    "soft maximum": {"type": "text", "tau": 0.7},
    "soft maximum of templates": {"type": "text", "tau": 0.7, "apart": True},
    "each by itself": {"type": "text", "sigmoid": True},
    "floss": {"type": "floss", "count": 2},
}


@pytest.fixture(scope="module")
def encoder():
    made = tiny_clip()
    made.model.float().eval().requires_grad_(False)
    return made


def picture(seed=0, size=(45, 61)):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def rankings(encoder):
    """Some rankings: on vectors at random, so that every class is found."""
    made = Segmentor(encoder, **SETTINGS)
    texts = made.embed_with(encoder, THINGS, each=True)
    entropies = TemplateEntropies(texts, 20.0)
    draw = torch.randn(200, encoder.dim, generator=torch.Generator().manual_seed(0))
    entropies.add(torch.nn.functional.normalize(draw, dim=1))
    return entropies.rankings(templates("tcl"))


@pytest.mark.parametrize("average", ["logits", "probabilities"])
@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_labels_are_those_of_the_scores(encoder, kind, average):
    classifier = dict(CLASSIFIERS[kind])
    if kind == "floss":
        classifier["rankings"] = rankings(encoder)
    made = Segmentor(encoder, "plain", classifier=classifier, average=average, normalise=False, **SETTINGS)
    texts = made.embed(THINGS, "threshold:0.1")
    (one,) = made.encode([picture()])
    scores, (labels, best) = made.scores(one, texts), made.label(one, texts)
    assert scores.shape == (4, 45, 61)
    top, expected = scores.max(0)
    torch.testing.assert_close(best, top, atol=1e-5, rtol=1e-4)
    expected = torch.where(top < 0.1, 0, expected)
    assert (labels == expected).float().mean() > 0.999
    together = made.encode([picture(), picture(1), picture(2, (33, 40))])
    torch.testing.assert_close(made.scores(together[0], texts), scores, atol=1e-5, rtol=1e-4)


def test_experts_are_merged_at_the_pixels_where_logits_are_averaged(encoder):
    made = Segmentor(
        encoder, "plain", classifier={"type": "floss", "rankings": rankings(encoder)}, average="logits", **SETTINGS
    )
    texts = made.embed(THINGS)
    (one,) = made.encode([picture()])
    classifier = made.classifier.fit(texts, temperature=20.0)
    each = [(label, made.scores(one, expert).movedim(0, -1)) for label, expert in classifier.experts]
    expected = merge_experts(made.scores(one, classifier.default).movedim(0, -1), each).movedim(-1, 0)
    torch.testing.assert_close(made.scores(one, texts), expected)
    assert not torch.allclose(expected, made.scores(one, classifier.default))


def test_a_soft_maximum_at_the_pixels(encoder):
    made = Segmentor(encoder, "plain", classifier={"type": "text", "tau": 0.7}, average="logits", **SETTINGS)
    plain = Segmentor(encoder, "plain", average="logits", **SETTINGS)
    texts = made.embed(THINGS)
    (one,) = made.encode([picture()])
    owners = torch.arange(5)
    alone = Vocabulary("queries", tuple((f"query {q}",) for q in owners.tolist()))
    queries = plain.scores(one, replace(texts, query_classes=owners, vocabulary=alone)).double()
    classes = torch.stack([queries[0], (queries[1:4] ** 0.7).sum(0) ** (1 / 0.7), queries[4]])
    torch.testing.assert_close(made.scores(one, texts).double(), classes / classes.sum(0), atol=1e-5, rtol=1e-4)
