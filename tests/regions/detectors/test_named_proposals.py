"""A detector of proposals and names: its scores against sums, its boxes those of its mask maker."""

import numpy as np
import pytest
import torch

from densevl.core.errors import UsageError
from densevl.core.regions import RegionEmbeddings, Regions
from densevl.datasets.scenes import render
from densevl.regions.detectors.detector import Found
from densevl.regions.detectors.named_proposals import NamedProposals, text_probabilities, without_parts

OTHERS = ("red circle", "blue star", "grass")


def test_the_score_is_the_share_beside_words_for_other_things():
    own, other = torch.randn(4, 3).double(), torch.randn(4, 3).double()
    texts = ["small red circle", "Blue", "dog"]
    allowed = [[1, 2], [0, 2], [0, 1, 2]]
    found = text_probabilities(own.float(), other.float(), texts, OTHERS)
    for i in range(4):
        for j in range(3):
            total = own[i, j].exp() + sum(other[i, k].exp() for k in allowed[j])
            assert float(found[i, j]) == pytest.approx(float(own[i, j].exp() / total), abs=1e-5)


class Proposer:
    """Proposes the true masks of a scene, and knows which was drawn first."""

    def __init__(self, scene):
        self.regions = Regions.from_masks(np.stack([item.mask for item in scene.objects]))

    def to(self, *_):
        return self

    def everything(self, image):
        return self.regions


class Namer(torch.nn.Module):
    """Embeds each region as the name that it has, and texts likewise."""

    def __init__(self, names):
        super().__init__()
        self.names, self.temperature = names, 20.0

    @property
    def encoder(self):
        return self

    def embed(self, image, regions):
        return RegionEmbeddings(self.embed_texts(self.names), "a model")

    def embed_texts(self, texts):
        vectors = [torch.from_numpy(np.random.default_rng(list(text.encode())).normal(size=64)) for text in texts]
        return torch.nn.functional.normalize(torch.stack(vectors).float(), dim=1)


def test_every_proposal_has_the_name_that_suits_it_best():
    scene = render(2, 0, count=(4, 5))
    names = [item.name for item in scene.objects]
    others = tuple(f"word {i}" for i in range(10))
    detector = NamedProposals(Proposer(scene), Namer(names), others)
    texts = [*dict.fromkeys(names[1:]), "nothing of that"]
    (found,) = detector.find([scene.image], [texts], 0.5)
    assert len(found.names) == len([name for name in names if name in texts])
    for box, name, score in zip(found.regions.boxes.tolist(), found.names, found.regions.scores, strict=True):
        assert texts[name] in {item.name for item in scene.objects if list(item.box) == box}
        assert score > 0.9
    (nothing,) = detector.find([scene.image], [[]], 0.5)
    assert nothing.names == ()
    best = detector.detect(scene.image, names[0], top=1)
    assert best.boxes[0].tolist() == list(scene.objects[0].box)


def test_of_one_text_a_thing_and_its_parts_are_one():
    boxes = torch.tensor(
        [[0.0, 0, 10, 10], [2, 2, 6, 6], [2, 2, 6, 6], [0, 0, 40, 10], [20, 0, 30, 10], [9, 9, 19, 19]]
    )
    scores = torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    found = Found(Regions(boxes, (50, 50), scores=scores), (0, 0, 1, 0, 0, 0))
    kept = without_parts(found)
    assert kept.names == (0, 1, 0, 0)
    assert torch.equal(kept.regions.boxes, boxes[[0, 2, 4, 5]])
    none = Found(Regions(torch.zeros(0, 4), (50, 50), scores=torch.zeros(0)), ())
    assert without_parts(none).names == ()


def test_what_cannot_be_used_is_refused():
    with pytest.raises(UsageError, match="words for other things"):
        NamedProposals(None, Namer([]), ())
    with pytest.raises(UsageError, match="scale must be above 0"):
        NamedProposals(None, Namer([]), OTHERS, scale=0)
