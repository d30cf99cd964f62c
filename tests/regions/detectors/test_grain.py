"""GRAIN's things as boxes with scores and as vectors of regions, alone and in models."""

import numpy as np
import pytest
import torch
from toys.published_regions import grain_arch
from toys.region_models import grain_encoder_of, save_grain

import densevl
from densevl.core.errors import UsageError
from densevl.core.regions import Regions
from densevl.core.registry import build
from densevl.regions.detectors import DETECTORS
from densevl.regions.detectors.detector import Detector
from densevl.regions.detectors.grain import GrainDetector, build_grain
from densevl.regions.embedders.grain import GrainRegions, most_like, things_in


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return grain_encoder_of(tmp_path_factory.mktemp("grain"))


@pytest.fixture(scope="module")
def images():
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((40, 60), (90, 50))]


def test_things_have_boxes_and_cosines(encoder, images):
    detector = GrainDetector(encoder)
    assert isinstance(detector, Detector)
    found = detector.detect(images[0], "a red heart")
    assert 1 <= len(found) <= 5
    assert (found.scores.diff() <= 0).all()
    assert found.size == (40, 60)
    assert len(detector.detect(images[0], "a red heart", top=1)) == 1


def test_several_images_and_texts(encoder, images):
    detector = GrainDetector(encoder)
    found = detector.find(images, [["a cat", "a dog"], []], threshold=0.0)
    assert len(found[1].regions) == 0
    alone = detector.find(images[:1], [["a cat", "a dog"]], threshold=0.0)[0]
    torch.testing.assert_close(found[0].regions.boxes, alone.regions.boxes, atol=1e-3, rtol=1e-4)
    assert found[0].names == alone.names
    seen, words = things_in(encoder, images[:1]), encoder.embed_texts(["a cat", "a dog"])
    best = (seen.things[0] @ words.T).max()
    assert best <= 0 or torch.isclose(found[0].regions.scores[0], best, atol=1e-5)


def test_a_region_is_the_thing_most_like_it(encoder, images):
    seen = things_in(encoder, images)
    corners = torch.cat(
        [seen.boxes[0, :, :2] - seen.boxes[0, :, 2:] / 2, seen.boxes[0, :, :2] + seen.boxes[0, :, 2:] / 2], 1
    )
    own = Regions.from_boxes(corners * torch.tensor([60.0, 40, 60, 40]), (40, 60))
    other = Regions(torch.tensor([[0.0, 0, 50, 90], [1, 1, 3, 3]]), (90, 50))
    embedder = GrainRegions(encoder)
    together = embedder.embed_batch(images, [own, other])
    torch.testing.assert_close(together[0].vectors.norm(dim=1), torch.ones(5))
    torch.testing.assert_close(embedder.embed(images[0], own).vectors, together[0].vectors, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(embedder.embed(images[1], other[1]).vectors[0], together[1].vectors[1])
    assert embedder.embed(images[0], own[[]]).vectors.shape == (0, 24)


def test_likeness_is_the_cost_of_training():
    boxes = torch.tensor([[0.5, 0.5, 0.4, 0.4], [0.2, 0.2, 0.2, 0.2], [0.9, 0.9, 0.1, 0.1]])
    assert most_like(boxes, boxes).tolist() == [0, 1, 2]
    far = torch.tensor([[0.75, 0.8, 0.1, 0.1]])  # overlaps none
    assert most_like(far, boxes).tolist() == [2]


def test_what_is_refused(encoder, images):
    with pytest.raises(UsageError, match="none was released"):
        GrainRegions({"type": "clip", "weights": "mini-clip"})
    with pytest.raises(UsageError, match="no weights of GRAIN were released"):
        build(DETECTORS, "grain")
    with pytest.raises(UsageError, match="belong to an image"):
        GrainRegions(encoder).embed(images[0], Regions.whole((10, 10)))


def test_a_model_by_configuration(tmp_path, images):
    encoder = {"type": "clip", "weights": str(save_grain(tmp_path)), "arch": grain_arch(True)}
    part = {"type": "grain", "encoder": encoder}
    model = densevl.load({"grounder": {"embedders": [part], "detector": part, "negatives": None}})
    assert model.grounder.detector.encoder is model.embedder.encoder
    found = model.refer(images[0], "a red heart")
    assert 1 <= len(found.regions) <= 5
    assert model.embed(images[0], [[0, 0, 30, 20]]).vectors.shape == (1, 24)
    detector = build_grain(tmp_path / "ep_34.pth.tar", grain_arch(True))
    assert detector.name == "GRAIN"
