"""Classes of pixels that are taught with masks, on a small CLIP and on pictures that differ in colour."""

from dataclasses import replace
from functools import partial
from itertools import pairwise
from operator import itemgetter

import numpy as np
import pytest
import torch
from toys.clip import tiny_clip
from toys.sent import SentEngine

from densevl.classifiers.shrunk import shrunk_weights
from densevl.core.errors import UsageError
from densevl.core.vocabulary import Vocabulary
from densevl.dense.stack import FeatureStack
from densevl.tasks.segmentation.stacked import segmentor_of_space, stacked_segmentor
from densevl.tasks.teaching.masked_cells import FOLDS, MaskedCells, MaskedImage, masked_cells
from densevl.tasks.teaching.pixels import SHRINKAGES, teach_pixels

NAMES = Vocabulary.parse("left, right, spot")
STACKS = [
    FeatureStack(("blocks.0",), stride=8, short_side=48),
    FeatureStack(("blocks.0", "features"), stride=4, short_side=48),
]


@pytest.fixture(scope="module")
def encoder():
    return tiny_clip().float()


def picture(seed=0, height=48, width=64):
    """Red beside green, and a small blue spot."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 60, (height, width, 3)).astype(np.uint8)
    edge = int(rng.integers(24, 40))
    masks = torch.zeros(3, height, width, dtype=torch.bool)
    masks[0, :, :edge], masks[1, :, edge:] = True, True
    y, x = (int(rng.integers(4, side - 8)) for side in (height, width))
    masks[:2, y : y + 3, x : x + 3], masks[2, y : y + 3, x : x + 3] = False, True
    for channel in range(3):
        image[masks[channel].numpy(), channel] += 150
    return MaskedImage(image, masks, torch.arange(3))


def test_taught_classes_label_another_picture(encoder):
    head, held = teach_pixels(encoder, [picture(seed) for seed in range(5)], NAMES, STACKS, lights=[False])
    segmentor = segmentor_of_space(encoder, head.classifier.space)
    test = picture(9)
    labels, _ = segmentor.label(segmentor.encode([test.image])[0], head.classifier)
    large = test.masks[:2].any(0)
    right = labels == test.masks.long().argmax(0)
    assert right[large].float().mean() > 0.85
    assert head.dim == head.classifier.weight.shape[1]
    assert held is not None
    assert head.facts["held_out"]["ece"] == held.facts["ece"]
    assert held.facts["accuracy"] > 0.85


def test_other_processes_give_the_same_head_to_the_last_bit(encoder):
    given = [picture(seed) for seed in range(4)], NAMES, STACKS, (0.01, 0.5), [False, True]
    here, held = teach_pixels(encoder, *given, flip=True)
    sent, told = teach_pixels(encoder, *given, flip=True, engine=SentEngine(), again=partial(itemgetter(0), [encoder]))
    assert torch.equal(here.classifier.weight, sent.classifier.weight)
    assert torch.equal(here.sums.squares, sent.sums.squares)
    assert here.facts == sent.facts
    assert torch.equal(held.probabilities, told.probabilities)
    with pytest.raises(UsageError, match="say how it was loaded"):
        teach_pixels(encoder, *given, engine=SentEngine())


def test_choice_is_what_held_out_cells_say(encoder):
    """Each stack and shrinkage again, fold by fold, from the classifiers of the other folds."""
    images = [picture(seed) for seed in range(4)]
    head, _ = teach_pixels(encoder, images, NAMES, STACKS, (0.01, 0.5), [False, True])
    scores = {}
    for stack in STACKS:
        segmentor = stacked_segmentor(encoder, stack)
        looked = [masked_cells(segmentor, one, 3, fold, True, 10_000) for fold, one in enumerate(images)]
        for lights in (False, True):
            for shrinkage in (0.01, 0.5):
                counts = torch.zeros(3, 3, dtype=torch.float64)
                for fold, held in enumerate(looked):
                    others = MaskedCells.cat([one for place, one in enumerate(looked) if place != fold])
                    ((weight, bias),) = shrunk_weights(others.sums(lights), [shrinkage])
                    for vector, parts in zip(held.vectors, held.parts, strict=True):
                        counts[:, (weight @ vector + bias).argmax()] += parts
                union = counts.sum(0) + counts.sum(1) - counts.diagonal()
                scores[stack.name, lights, shrinkage] = float((counts.diagonal() / union).mean())
    best = max(scores, key=scores.__getitem__)
    settings = head.facts["settings"]
    assert (head.classifier.space, bool(settings["lights"]), settings["shrinkage"]) == best
    assert head.facts["held_out"]["miou"] == pytest.approx(scores[best], abs=1e-5)
    assert head.facts["held_out"]["folds"] == FOLDS


def test_temperature_makes_held_out_cells_likely(encoder):
    images = [picture(seed) for seed in range(4)]
    head, _ = teach_pixels(encoder, images, NAMES, STACKS[:1], [0.1], [False])
    segmentor = stacked_segmentor(encoder, STACKS[0])
    looked = [masked_cells(segmentor, one, 3, fold, False, 10_000) for fold, one in enumerate(images)]
    losses = []
    for factor in (0.8, 1.0, 1.25):
        loss = 0.0
        for fold, held in enumerate(looked):
            others = MaskedCells.cat([one for place, one in enumerate(looked) if place != fold])
            ((weight, bias),) = shrunk_weights(others.sums(False), [0.1])
            logits = (held.vectors @ weight.mT + bias) / (factor * head.facts["temperature"])
            loss -= float((held.parts * logits.log_softmax(1)).sum())
        losses.append(loss)
    assert losses[1] == min(losses)
    ((weight, _),) = shrunk_weights(head.sums, [0.1])
    torch.testing.assert_close(head.classifier.weight * head.facts["temperature"], weight)


def test_examples_in_parts_are_as_all_at_once(encoder):
    images = [picture(seed) for seed in range(6)]
    part, _ = teach_pixels(encoder, images[:4], NAMES, STACKS)
    whole, _ = teach_pixels(encoder, images[4:], NAMES, before=part)
    shrinkage = part.facts["settings"]["shrinkage"]
    stack, lights = FeatureStack.parse(part.classifier.space), bool(part.facts["settings"]["lights"])
    once, _ = teach_pixels(encoder, images, NAMES, [stack], [shrinkage], [lights])
    assert whole.classifier.space == once.classifier.space
    torch.testing.assert_close(whole.sums.squares, once.sums.squares, atol=1e-9, rtol=1e-9)
    scale = part.facts["temperature"] / once.facts["temperature"]
    torch.testing.assert_close(whole.classifier.weight * scale, once.classifier.weight, rtol=1e-4, atol=1e-4)


def test_mirror_images_are_learnt_from(encoder):
    """Every cell counts twice, and the sums are those of the images and of their mirror images."""
    images = [picture(seed) for seed in range(4)]
    turned = [one._replace(image=one.image[:, ::-1].copy(), masks=one.masks.flip(-1)) for one in images]
    given = (NAMES, STACKS[:1], (0.1,), [False])
    flipped, held = teach_pixels(encoder, images, *given, flip=True)
    alone, mirror = (teach_pixels(encoder, some, *given)[0].sums for some in (images, turned))
    assert flipped.sums.counts.tolist() == (alone + mirror).counts.tolist()
    torch.testing.assert_close(flipped.sums.totals, (alone + mirror).totals)
    assert len(held.labels) == len(teach_pixels(encoder, images, *given)[1].labels)


def test_order_of_masks_and_images_does_not_matter_for_what_is_learnt(encoder):
    images = [picture(seed) for seed in range(4)]
    turned = [MaskedImage(one.image, one.masks.flip(0), one.labels.flip(0)) for one in images[::-1]]
    first, second = (teach_pixels(encoder, some, NAMES, STACKS[:1], [0.3], [False])[0] for some in (images, turned))
    torch.testing.assert_close(first.classifier.weight, second.classifier.weight, rtol=1e-4, atol=1e-4)


def test_one_picture_is_cut_into_stripes(encoder):
    head, _ = teach_pixels(encoder, [picture()], NAMES, STACKS)
    assert 0 < head.facts["held_out"]["miou"] <= 1
    assert head.facts["settings"]["shrinkage"] in SHRINKAGES
    assert len(head.facts["tried"]) == 2 * len(STACKS) - 1


def test_a_point_is_enough_for_a_class(encoder):
    one = picture()
    masks = one.masks.clone()
    masks[2] = False
    masks[2, 40, 60] = True
    head, _ = teach_pixels(encoder, [one._replace(masks=masks)], NAMES, STACKS[:1])
    assert head.sums.counts[2] == 1


def test_taught_classes_with_what_nothing_can_be_held_out_of(encoder):
    """One point a class: each lies in one stripe alone."""
    one, masks = picture(), torch.zeros(2, 48, 64, dtype=torch.bool)
    masks[0, 5, 5], masks[1, 40, 60] = True, True
    image = MaskedImage(one.image, masks, torch.arange(2))
    head, held = teach_pixels(encoder, [image], Vocabulary.parse("red, green"), STACKS[:1])
    assert held is None
    assert "held_out" not in head.facts
    assert bool(head.classifier.weight.isfinite().all())


def test_bad_examples(encoder):
    one = picture()
    with pytest.raises(UsageError, match="there is none of spot"):
        teach_pixels(encoder, [MaskedImage(one.image, one.masks[:2], one.labels[:2])], NAMES, STACKS)
    empty = one.masks.clone()
    empty[1] = False
    with pytest.raises(UsageError, match="there is none of right"):
        teach_pixels(encoder, [one._replace(masks=empty)], NAMES, STACKS)
    with pytest.raises(UsageError, match="masks of 48×60 pixels do not fit their image of 48×64"):
        teach_pixels(encoder, [one._replace(masks=one.masks[:, :, :60])], NAMES, STACKS)
    with pytest.raises(UsageError, match="there is none of left, right, spot"):
        teach_pixels(encoder, [], NAMES, STACKS)


def test_heads_that_cannot_be_gone_on_from(encoder):
    one = picture()
    head, _ = teach_pixels(encoder, [one], NAMES, STACKS[:1])
    with pytest.raises(UsageError, match="teach all examples at once"):
        teach_pixels(encoder, [one], NAMES, before=replace(head, sums=None))
    other = replace(head, classifier=replace(head.classifier, model_id="another"))
    with pytest.raises(UsageError, match="take the same model for both"):
        teach_pixels(encoder, [one], NAMES, before=other)


def test_shrinkages_ascend():
    assert all(0 < one < other <= 1 for one, other in pairwise(SHRINKAGES))
