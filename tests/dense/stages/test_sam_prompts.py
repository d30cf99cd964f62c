"""SAM prompts by the mini SAM on a scene whose label map is rough."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings
from densevl.core.vocabulary import Vocabulary
from densevl.datasets.scenes.scene import render
from densevl.dense.stages.sam_prompts import SamPrompts, pieces

SCENE = render(7, 3, (160, 160), count=(3, 3))
IMAGE = torch.from_numpy(SCENE.image).permute(2, 0, 1).float() / 255
VOCABULARY = Vocabulary("scene", tuple((f"thing {i}",) for i in range(len(SCENE.objects) + 1)), background=0)
TEXTS = TextEmbeddings(torch.eye(len(VOCABULARY.names)), torch.arange(len(VOCABULARY.names)), VOCABULARY, "x", "none")


@pytest.fixture(scope="module")
def stage():
    return SamPrompts("mini-sam", area=60, iou=0.5, mask_factor=None)


def rough():
    """Probabilities of the things of a scene, as coarse as patches make them."""
    truth = torch.from_numpy(SCENE.instances).long()
    one_hot = F.one_hot(truth, len(VOCABULARY.names)).movedim(2, 0).float()
    small = F.adaptive_avg_pool2d(one_hot, (14, 14))
    return F.interpolate(small[None], truth.shape, mode="bilinear")[0], truth


def overlap(labels, truth):
    things = [((labels == i) & (truth == i)).sum() / ((labels == i) | (truth == i)).sum() for i in range(1, 4)]
    return float(torch.stack(things).mean())


def test_borders_become_those_of_the_image(stage):
    before, truth = rough()
    after = stage(before, IMAGE, texts=TEXTS)
    assert after.shape == before.shape
    assert overlap(after.argmax(0), truth) > overlap(before.argmax(0), truth) + 0.05


def test_nothing_to_ask_for_changes_nothing(stage):
    flat = torch.full((4, 160, 160), 0.25)
    assert torch.equal(stage(flat, IMAGE, texts=TEXTS), flat)  # the background wins
    before, _ = rough()
    strict = SamPrompts("mini-sam", area=160 * 160 + 1)
    assert torch.equal(strict(before, IMAGE, texts=TEXTS), before)
    all_of_it = torch.stack([torch.zeros(160, 160), torch.ones(160, 160)])
    two = replace(TEXTS, vocabulary=Vocabulary.parse("a, b"))
    assert stage(all_of_it, torch.full_like(IMAGE, 0.5), texts=two).argmax(0).eq(1).all()


def test_a_mask_that_sam_rates_low_leaves_its_piece():
    before, _ = rough()
    after = SamPrompts("mini-sam", area=60, iou=2.0)(before, IMAGE, texts=TEXTS)
    assert torch.equal(after, before)


def test_pieces_are_connected_and_large():
    mask = torch.tensor([[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 0, 1], [1, 0, 0, 0]]).bool()
    found = pieces(mask, 2)
    assert [piece.nonzero().tolist() for piece in found] == [[[0, 0], [1, 1]], [[0, 3], [1, 3], [2, 3]]]
    assert len(pieces(mask, 1)) == 3
    assert pieces(mask & False, 1) == []


def test_unusable_settings():
    with pytest.raises(UsageError, match=r"got 0\.1, 0"):
        SamPrompts("mini-sam", area=0)
    with pytest.raises(UsageError, match="are no SAM but dino"):
        SamPrompts("dino-vit-b16")
