"""The grounder against its parts computed one by one, on the mini CLIP."""

import numpy as np
import pytest
import torch

from densevl import load
from densevl.core.errors import UsageError
from densevl.core.regions import Regions
from densevl.regions.composition import composed, parts_of_regions
from densevl.regions.visual_prompts import draw
from densevl.tasks.grounding.expression import parse_expression
from densevl.tasks.grounding.grounder import Grounder
from densevl.tasks.grounding.grounding import DOUBTFUL
from densevl.tasks.grounding.relations import resolve
from densevl.tasks.grounding.scoring import negative_bank


def by_hand(grounder, image, regions, *texts):
    """Scores "n q" of texts: every region drawn, embedded and compared alone."""
    total = torch.zeros(len(regions), len(texts), dtype=torch.float64)
    pixels = torch.from_numpy(image).permute(2, 0, 1).float() / 255
    for embedder in grounder.embedders:
        encoder = embedder.encoder
        vectors = torch.stack([encoder.embed_texts([grounder.template.format(text)])[0] for text in texts])
        for prompt in embedder.visual_prompts:
            for i in range(len(regions)):
                marked = draw(pixels, regions[i], prompt, embedder.size, embedder.style)
                total[i] += encoder.temperature * (vectors @ encoder.embed_images(marked, mode="squash")[0])
    return total


def test_a_plain_expression_is_the_sum_over_visual_prompts(grounder, scene, boxes):
    found = grounder.refer(scene.image, "the red thing", boxes)
    expected = by_hand(grounder, scene.image, found.regions, "the red thing")[:, 0]
    torch.testing.assert_close(found.scores, expected, rtol=1e-3, atol=2e-2)
    torch.testing.assert_close(
        found.scores, torch.stack(list(found.parts.values())).sum(0).double(), rtol=1e-5, atol=1e-4
    )
    torch.testing.assert_close(found.probabilities, found.scores.softmax(0))
    assert found.ranking == tuple(np.argsort(-found.probabilities.numpy(), kind="stable"))
    assert found.box == tuple(map(float, boxes[found.best]))
    assert np.array_equal(found.mask, found.regions.masks[found.best])


def test_relations_are_the_whole_times_the_tree(grounder, scene, boxes):
    text = "the leftmost shape above the red circle"
    found = grounder.refer(scene.image, text, boxes)

    def ask(part):
        return grounder.refer(scene.image, part, found.regions).scores.softmax(0)

    tree = resolve(parse_expression(text), found.regions.boxes, ask)
    plain = Grounder(grounder.embedders, relations=False, template="{}", negatives=None)
    whole = plain.refer(scene.image, text, found.regions)
    assert whole.presence is None
    expected = whole.probabilities * tree.probabilities
    torch.testing.assert_close(found.probabilities, expected / expected.sum(), rtol=1e-4, atol=1e-6)


def test_subtraction_takes_the_mean_score_of_the_bank(grounder, scene, boxes):
    bank = ["a train", "two cats", "snow"]
    subtracting = Grounder(grounder.embedders, mask_maker="grabcut", template="{}", subtract=True, negatives=bank)
    found = subtracting.refer(scene.image, "red thing", boxes)
    expected = by_hand(grounder, scene.image, found.regions, *bank).mean(1)
    torch.testing.assert_close(found.subtracted.double(), expected, rtol=1e-3, atol=2e-2)
    torch.testing.assert_close(found.scores, torch.stack(list(found.parts.values())).double().sum(0) - found.subtracted)


def test_calibration_keeps_the_ranking(grounder, scene, boxes):
    sharp = grounder.refer(scene.image, "the left shape", boxes)
    flat = Grounder(grounder.embedders, mask_maker="grabcut", template="{}", negatives=None, calibration=5.0)
    soft = flat.refer(scene.image, "the left shape", boxes)
    assert soft.ranking == sharp.ranking
    assert soft.probabilities.max() < sharp.probabilities.max()
    torch.testing.assert_close(soft.probabilities, (sharp.probabilities.log() / 5).softmax(0))


def test_many_expressions_encode_the_image_once(grounder, scene, boxes, monkeypatch):
    embedder = grounder.embedders[0]
    calls = []
    embed = type(embedder).embed
    monkeypatch.setattr(type(embedder), "embed", lambda self, *args: calls.append(1) or embed(self, *args))
    texts = [item.name for item in scene.objects] + ["the left shape"]
    together = grounder.refer(scene.image, texts, boxes)
    assert len(calls) == 1
    encoded = grounder.encode(scene.image, boxes)
    for text, found in zip(texts, together, strict=True):
        alone = grounder.refer(encoded, text)
        torch.testing.assert_close(alone.probabilities, found.probabilities)
        assert alone.ranking == found.ranking
    assert len(calls) == 2


def test_a_subset_of_regions_keeps_its_scores(grounder, scene, boxes):
    every = grounder.refer(scene.image, "star", boxes)
    some = grounder.refer(scene.image, "star", [boxes[2], boxes[0]])
    torch.testing.assert_close(some.scores, every.scores[[2, 0]], rtol=1e-4, atol=1e-3)


def test_the_table_adds_up(grounder, scene, boxes):
    found = grounder.refer(scene.image, "the left shape above the sand", boxes)
    lines = found.explain().splitlines()
    assert len(lines) == 2 + len(boxes)
    assert "read as (shape | most left | above (sand))" in lines[0]
    assert all(name in lines[1] for name in ("crop", "blur_mask", "score", "whole", "most left", "probability"))
    assert [int(line.split()[0]) for line in lines[2:]] == list(range(1, len(boxes) + 1))
    assert [list(map(int, line.split()[1:5])) for line in lines[2:]] == [boxes[index] for index in found.ranking]
    assert len(found.explain(top=2).splitlines()) == 4


def test_presence_is_the_share_of_captions_that_suit_less(grounder, scene, boxes):
    bank, name = grounder.bank.captions[::60], scene.objects[0].name
    few = Grounder(grounder.embedders, mask_maker="grabcut", template="{}", negatives=bank)
    found = few.refer(scene.image, name, boxes)
    other = [caption for caption in bank if not set(caption.split()) & set(name.split())]
    scores = by_hand(grounder, scene.image, found.regions, name, *other).max(0).values
    assert found.presence == pytest.approx(float((scores[1:] < scores[0]).double().mean()))
    assert found.doubtful == (found.presence < DOUBTFUL)


def test_words_that_fit_anything_are_never_doubtful(grounder, scene, boxes):
    texts = ["the largest shape", "the left shape", "the small shape", "the largest thing", "bigger of the two shapes"]
    for found in grounder.refer(scene.image, texts, boxes):
        assert found.presence is None, found.expression
        assert not found.doubtful
    colours = {item.name.split()[0] for item in scene.objects}
    assert grounder.refer(scene.image, f"the highest {colours.pop()} shape", boxes).presence > DOUBTFUL


def test_a_relation_that_nothing_fulfils_is_doubtful(grounder, scene, boxes):
    first, last = sorted(scene.objects, key=lambda item: item.centre[0])[:: len(boxes) - 1]
    true, false = grounder.refer(
        scene.image, [f"the {first.name} left of the {last.name}", f"the {first.name} right of the {last.name}"], boxes
    )
    masses = [next(step.fulfilled for step in found.steps if step.fulfilled is not None) for found in (true, false)]
    assert masses[0] > masses[1]
    assert false.doubtful or masses[1] >= 0.05
    assert true.steps[1].fulfilled is None


@pytest.mark.parametrize(
    ("expression", "proposals", "message"),
    [
        ("", [[0, 0, 10, 10]], "names nothing"),
        ("dog " * 200, [[0, 0, 10, 10]], "the expression.*200 words.*fewer words"),
        ("dog", [], "no region to choose from"),
        ("dog", [[500, 500, 510, 510]], "outside"),
        ("dog", [[20, 20, 10, 30]], "reversed.*xywh"),
        ("dog", np.zeros((1, 5, 5), bool), "masks have size"),
    ],
)
def test_bad_input_is_one_clear_error(grounder, scene, expression, proposals, message):
    with pytest.raises(UsageError, match=message):
        grounder.refer(scene.image, expression, proposals)


def test_unusable_grounders(grounder, scene):
    with pytest.raises(UsageError, match="at least one region embedder"):
        Grounder([])
    with pytest.raises(UsageError, match="bank"):
        Grounder(grounder.embedders, subtract=True, negatives=None)
    with pytest.raises(UsageError, match="calibration"):
        Grounder(grounder.embedders, calibration=0)
    with pytest.raises(UsageError, match="proposes no regions"):
        Grounder(grounder.embedders, negatives=None).refer(scene.image, "dog")
    with pytest.raises(UsageError, match=r"maskclip.*tells no regions apart.*mini"):
        _ = load("maskclip", lazy=True).grounder
    with pytest.raises(UsageError, match="one CLIP model, and this model has 2"):
        load("fgvp", weights="x.safetensors")
    assert negative_bank("neutral").captions


class Fixed:
    """A detector that finds the same boxes for every text, the text's own first."""

    name = "fixed"

    def __init__(self, regions):
        self.regions, self.asked = regions, []

    def detect(self, image, text, top=10):
        self.asked.append(text)
        return self.regions[:top]


def test_a_detectors_boxes_are_ranked_anew(grounder, scene, boxes):
    scores = torch.linspace(0.9, 0.1, len(boxes))
    detector = Fixed(Regions.from_boxes(boxes, scene.image.shape[:2]).with_scores(scores))
    ranking = Grounder(grounder.embedders, mask_maker="grabcut", detector=detector, top=3, template="{}")
    found = ranking.refer(scene.image, "the star left of the ring")
    assert detector.asked == ["star", "ring"]
    assert 1 <= len(found.regions) <= 3
    given = ranking.refer(scene.image, "the star left of the ring", found.regions)
    torch.testing.assert_close(given.probabilities, found.probabilities)


def test_device_and_dtype_reach_the_encoders(grounder):
    small = load("mini", device="cpu", mask_maker="grabcut", dtype="bfloat16").grounder
    assert {parameter.dtype for parameter in small.parameters()} == {torch.bfloat16}
    assert small.protocol["dtype"] == "bfloat16"
    assert grounder.protocol["mask_maker"].startswith("grabcut")


def test_composing_moves_regions_towards_their_landmarks(grounder, scene, boxes):
    text = "the shape above the red circle"
    composing = Grounder(grounder.embedders, compose=True, template=grounder.template, negatives=None)
    assert "compose" not in grounder.protocol
    assert composing.protocol["compose"] is True
    encoded = grounder.encode(scene.image, boxes)
    phrases = parse_expression(text).texts
    assert len(phrases) == 2
    expected = torch.zeros(len(encoded.regions), dtype=torch.float64)
    for embedder, embeddings in zip(composing.embedders, encoded.embeddings, strict=True):
        words, query = (embedder.encoder.embed_texts(list(texts), [grounder.template]) for texts in (phrases, (text,)))
        for vectors in (embeddings.parts or {"": embeddings.vectors}).values():
            moved = composed(vectors, parts_of_regions(vectors, words), words)
            expected += embedder.encoder.temperature * (moved @ query[0]).double()
    torch.testing.assert_close(composing.refer(encoded, text).scores, expected, rtol=1e-4, atol=1e-3)
    plain = "the red thing"
    torch.testing.assert_close(composing.refer(encoded, plain).scores, grounder.refer(encoded, plain).scores)
