"""Painted label maps against painting pixel by pixel, on a small CLIP with random weights."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from open_clip import CLIP, SimpleTokenizer
from torch import nn

from densevl import load
from densevl.classifiers.text import region_probabilities
from densevl.core.errors import UsageError, WeightsError
from densevl.core.features import TextEmbeddings
from densevl.core.regions import RegionEmbeddings, Regions
from densevl.core.vocabulary import Vocabulary
from densevl.encoders.clip import CLIPEncoder
from densevl.regions.embedders.embedder import RegionEmbedder
from densevl.regions.mask_makers.maker import MaskMaker
from densevl.tasks.segmentation.painting import OVERLAPS
from densevl.tasks.segmentation.region_segmentor import RegionSegmentor

ANIMALS = Vocabulary.parse("cat, sofa|couch|settee, dog")


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    vision = {"image_size": 32, "patch_size": 8, "width": 48, "head_width": 16, "layers": 3}
    text = {"context_length": 24, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
    return CLIPEncoder(CLIP(24, vision, text).eval(), SimpleTokenizer(context_length=24), "tiny")


class Crops(nn.Module, RegionEmbedder):
    """The simplest region embedder: each box, squashed to a square."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    @property
    def protocol(self):
        return {"type": "crops", "encoder": self.encoder.model_id, "size": 32}

    def embed(self, image, regions):
        picture = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
        crops = [picture[..., y0:y1, x0:x1] for x0, y0, x1, y1 in regions.boxes.long().tolist()]
        vectors = torch.cat([self.encoder.embed_images(crop, "squash") for crop in crops])
        return RegionEmbeddings(vectors, self.encoder.model_id)


class Blocks(MaskMaker):
    """Proposes overlapping rectangles, of which the first is the surest."""

    name = model_id = "blocks"

    def __init__(self, count=6):
        self.count = count

    def to(self, device):
        return self

    def everything(self, image):
        generator = torch.Generator().manual_seed(int(image.sum()) % 1000)
        masks = torch.zeros(self.count, *image.shape[:2], dtype=torch.bool)
        for mask in masks:
            y, x = (int(torch.randint(0, side * 2 // 3, (), generator=generator)) for side in mask.shape)
            mask[y : y + mask.shape[0] // 3, x : x + mask.shape[1] // 3] = True
        return Regions.from_masks(masks, torch.linspace(1, 0, self.count))

    def from_boxes(self, image, boxes):
        masks = torch.zeros(len(boxes), *image.shape[:2], dtype=torch.bool)
        for mask, (x0, y0, x1, y1) in zip(masks, boxes.long().tolist(), strict=True):
            mask[y0:y1, x0 : (x0 + x1) // 2] = True
        return masks


def make(encoder, count=6, **options):
    settings = {"templates": "plain", "short_side": 40, "window": 32, "stride": 16, "temperature": 30.0, **options}
    return RegionSegmentor(encoder, Crops(encoder), Blocks(count), **settings)


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def painted_by_hand(segmentor, encoded, texts):
    """Probabilities pixel by pixel, one region after another; nan where no region lies."""
    regions, vectors = encoded.regions, encoded.embeddings.vectors
    cosines = vectors @ texts.vectors.T
    classes = [cosines[:, texts.query_classes == label].amax(1) for label in range(len(texts.vocabulary))]
    each = (segmentor.temperature * torch.stack(classes, 1)).softmax(1)
    members = [texts.query_classes == label for label in range(len(texts.vocabulary))]
    result = torch.full((len(texts.vocabulary), *encoded.size), torch.nan)
    for y in range(encoded.size[0]):
        for x in range(encoded.size[1]):
            here = [i for i in range(len(regions)) if regions.masks[i, y, x]]
            if not here:
                continue
            if segmentor.overlap == "best":
                here = [max(here, key=lambda i: float(each[i].max()))]
            if segmentor.overlap == "smallest":
                here = [min(here, key=lambda i: int(regions.masks[i].sum()))]
            if segmentor.overlap == "sum":
                total = segmentor.temperature * sum(cosines[i] for i in here)
                result[:, y, x] = torch.stack([total[member].max() for member in members]).softmax(0)
                continue
            result[:, y, x] = sum(each[i] for i in here) / len(here)
    return result


def test_bare_pixels_may_be_the_same_for_every_class(encoder):
    segmentor = make(encoder, overlap="sum", uncovered="even", background="threshold:0.6")
    encoded = segmentor.encode([picture(31, 43)])[0]
    texts = segmentor.embed(ANIMALS)
    bare = ~encoded.regions.masks.any(0)
    scores, (labels, _) = segmentor.scores(encoded, texts), segmentor.label(encoded, texts)
    assert torch.allclose(scores[:, bare], torch.tensor([0, 1 / 3, 1 / 3, 1 / 3])[:, None])
    assert (labels[bare] == texts.vocabulary.background).all()
    (nothing,) = segmentor.encode_regions([picture(31, 43)], [encoded.regions[:0]])
    assert (segmentor.label(nothing, texts)[0] == texts.vocabulary.background).all()


@pytest.mark.parametrize("overlap", OVERLAPS)
def test_paint_is_that_of_each_pixel_by_itself(encoder, overlap):
    segmentor = make(encoder, overlap=overlap)
    encoded = segmentor.encode([picture(31, 43)])[0]
    texts = segmentor.embed(ANIMALS)
    expected = painted_by_hand(segmentor, encoded, texts)
    bare = expected[0].isnan()
    assert 0 < bare.sum() < bare.numel()
    assert int(encoded.regions.masks.sum(0).max()) > 1, "the rule for overlaps is not tried"
    dense = segmentor.dense.scores(encoded, texts)
    expected = torch.where(bare, dense, expected)
    scores = segmentor.scores(encoded, texts)
    torch.testing.assert_close(scores, expected, atol=1e-5, rtol=0)
    labels, best = segmentor.label(encoded, texts)
    torch.testing.assert_close(best, expected.amax(0), atol=1e-5, rtol=0)
    first, second = expected.topk(2, dim=0).values
    clear = first - second > 1e-5
    assert torch.equal(labels[clear], expected.argmax(0)[clear])


def test_a_batch_gives_what_its_members_give(encoder):
    segmentor = make(encoder)
    images = [picture(50, 70, 1), picture(70, 50, 2), picture(20, 90, 3)]
    texts = segmentor.embed(ANIMALS)
    for one, many in zip((segmentor.encode([i])[0] for i in images), segmentor.encode(images), strict=True):
        assert one.size == one.image.shape[:2]
        assert torch.equal(segmentor.label(one, texts)[0], segmentor.label(many, texts)[0])


def test_nearest_takes_the_nearest_covered_pixel(encoder):
    segmentor = make(encoder, count=3, uncovered="nearest")
    encoded = segmentor.encode([picture(37, 52, 4)])[0]
    texts = segmentor.embed(ANIMALS)
    labels = segmentor.label(encoded, texts)[0]
    covered = encoded.regions.masks.any(0)
    where = covered.nonzero()
    bare = (~covered).nonzero()
    distance = torch.cdist(bare.double(), where.double())
    for (y, x), row in zip(bare.tolist(), distance, strict=True):
        near = where[row <= 1.07 * row.min() + 1e-9]  # what steps of a 5×5 neighbourhood may take for the nearest
        assert labels[y, x] in labels[near[:, 0], near[:, 1]]


def test_background_where_no_region_lies(encoder):
    segmentor = make(encoder, uncovered="background", background="literal")
    encoded = segmentor.encode([picture(40, 50)])[0]
    texts = segmentor.embed(ANIMALS)
    labels, best = segmentor.label(encoded, texts)
    bare = ~encoded.regions.masks.any(0)
    assert (labels[bare] == 0).all()
    assert (best[bare] == 1).all()
    with pytest.raises(UsageError, match="uncovered=background needs a background class"):
        segmentor.label(encoded, segmentor.embed(ANIMALS, "none"))


def test_threshold_sends_unsure_pixels_to_the_background(encoder):
    segmentor = make(encoder)
    encoded = segmentor.encode([picture(40, 50)])[0]
    labels, best = segmentor.label(encoded, segmentor.embed(ANIMALS))
    middle = float(best.median())
    with_background, _ = segmentor.label(encoded, segmentor.embed(ANIMALS, background=middle))
    clear = (best - middle).abs() > 1e-5
    assert torch.equal(with_background[clear], torch.where(best < middle, 0, labels + 1)[clear])


def test_without_regions_the_dense_segmentation_answers(encoder):
    for uncovered in ("dense", "nearest"):
        segmentor = make(encoder, count=0, uncovered=uncovered)
        encoded = segmentor.encode([picture(40, 50)])[0]
        texts = segmentor.embed(ANIMALS)
        dense, _ = segmentor.dense.label(encoded, texts)
        assert torch.equal(segmentor.label(encoded, texts)[0], dense)


def test_labels_of_another_size_are_those_under_the_centre(encoder):
    segmentor = make(encoder)
    image = torch.from_numpy(picture(40, 60)).permute(2, 0, 1).float() / 255
    same, smaller = segmentor.encode_resized([image, image], [(40, 60), (20, 30)])
    texts = segmentor.embed(ANIMALS)
    covered = same.regions.masks.any(0)[1::2, 1::2]
    whole = segmentor.label(same, texts)[0][1::2, 1::2]
    assert torch.equal(segmentor.label(smaller, texts)[0][covered], whole[covered])


def test_given_regions(encoder):
    segmentor = make(encoder)
    image = picture(40, 60)
    boxes = Regions.from_boxes([[3, 4, 23, 24], [10, 10, 50, 38]], (40, 60))
    encoded = segmentor.encode_regions([image], [boxes])[0]
    assert torch.equal(encoded.regions.masks, Blocks().from_boxes(image, boxes.boxes))
    segmentor.mask_maker = None
    filled = segmentor.encode_regions([image], [boxes])[0].regions
    assert filled.areas.tolist() == boxes.box_areas.tolist()
    with pytest.raises(UsageError, match="no mask maker"):
        segmentor.encode([image])


def test_proposals_are_the_surest(encoder):
    segmentor = make(encoder, count=9, most=4)
    assert segmentor.pipeline.propose(picture(40, 60)).scores.tolist() == pytest.approx([1, 0.875, 0.75, 0.625])


def test_synonyms_and_classes_without_a_query():
    torch.manual_seed(1)
    vectors, queries = (F.normalize(torch.randn(n, 6), dim=1) for n in (4, 5))
    texts = TextEmbeddings(queries, torch.tensor(ANIMALS.query_classes), ANIMALS, "tiny", "none")
    cosines = vectors @ queries.T
    logits = torch.stack([cosines[:, 0], cosines[:, 1:4].amax(1), cosines[:, 4]], dim=1)
    found = region_probabilities(RegionEmbeddings(vectors, "tiny"), texts, 10.0)
    torch.testing.assert_close(found, (10 * logits).softmax(1))
    silent = TextEmbeddings(queries, torch.tensor([1, 2, 2, 2, 3]), ANIMALS.with_background("none"), "tiny", "none")
    with_silent = region_probabilities(RegionEmbeddings(vectors, "tiny"), silent, 10.0)
    torch.testing.assert_close(with_silent, F.pad(found, (1, 0)))
    with pytest.raises(UsageError, match="same model"):
        region_probabilities(RegionEmbeddings(vectors, "another"), texts)


def test_protocol_names_the_regions(encoder):
    protocol = make(encoder).protocol
    assert protocol["regions"] == "blocks"
    assert protocol["embedder"] == ["crops", "size=32"]
    assert protocol["short_side"] == 40
    assert all(isinstance(v, str | int | float | list | None) for v in protocol.values())


@pytest.mark.parametrize("options", [{"overlap": "last"}, {"uncovered": "sky"}, {"most": 0}])
def test_bad_options_are_named(encoder, options):
    with pytest.raises(UsageError, match=next(iter(options))):
        make(encoder, **options)


@pytest.mark.slow
def test_the_mini_model_finds_the_things_of_a_picture(root):
    model = load("mini-regions", device="cpu", short_side=160)
    encoded = model.encode(root / "demo/images/garden.png")
    found = model.segment(encoded, "grass, brick, green ring, blue circle, yellow heart, white crescent, orange square")
    assert found.labels.shape == encoded.regions.size
    places = {"grass": (40, 10), "blue circle": (56, 320), "yellow heart": (150, 440), "orange square": (290, 410)}
    assert {name: found.vocabulary.names[found.labels[place]] for name, place in places.items()} == {
        name: name for name in places
    }


@pytest.mark.parametrize("weights", ["random:0", "mini-clip"])
def test_encoder_and_mask_maker_are_changed_by_name(weights):
    config = {"encoder": {"type": "clip", "weights": "mini-clip"}, "embedder": {"type": "mask-pooling"}}
    maker = {"type": "cached", "maker": {"type": "sam", "weights": "sam-vit-h", "automatic": {"predicted_iou": 0.9}}}
    config = {"type": "regions", **config, "mask_maker": maker}
    segmentor = load(config, weights=weights, device="cpu", offline=True, mask_maker="mini-sam").segmentor
    assert segmentor.mask_maker.name == "mini SAM"
    assert segmentor.protocol["encoder"] == segmentor.embedder.encoder.model_id
    assert ("@random" in segmentor.protocol["encoder"]) == (weights == "random:0")
    changed = load(config, weights=weights, device="cpu", mask_maker="grabcut").segmentor
    assert changed.mask_maker.name == "GrabCut"


def test_offline_reaches_every_part(monkeypatch):
    asked = []

    def absent(weights, offline=False):
        asked.append((weights, offline))
        raise WeightsError("absent")

    monkeypatch.delenv("DENSEVL_OFFLINE")
    monkeypatch.setattr("densevl.encoders.sam.model.open_weights", absent)
    mini = {"type": "clip", "weights": "mini-clip"}
    maker = {"type": "cached", "maker": {"type": "sam", "weights": "sam-vit-b"}}
    pooling = {"type": "mask-pooling", "refiners": [{"type": "dinoiser", "weights": "mini-dinoiser"}]}
    for embedder in ({"type": "marked-images", "weights": [1, 2]}, pooling):
        config = {"type": "regions", "encoder": mini, "embedder": embedder, "mask_maker": maker}
        with pytest.raises(WeightsError, match="absent"):
            load(config, device="cpu", offline=True)
    assert asked == [("sam-vit-b", True)] * 2
