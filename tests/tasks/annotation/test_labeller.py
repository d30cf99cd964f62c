"""From captioned pictures to records, with a small OWLv2 of seeded weights."""

import io

import numpy as np
import pytest
from PIL import Image

from densevl.core.errors import UsageError
from densevl.core.failures import Failure
from densevl.core.files import InputFile
from densevl.core.registry import build
from densevl.datasets.region_texts import RegionTextRecord
from densevl.regions.detectors import DETECTORS
from densevl.tasks.annotation.labeller import Labeller
from densevl.tasks.annotation.parts import CaptionedImage, plan_parts, read_part
from densevl.tasks.annotation.rule_tagger import rule_tags


@pytest.fixture(scope="module")
def detector(tiny_owlv2):
    return build(DETECTORS, {"type": "owlv2", "weights": str(tiny_owlv2[0]), "offline": True})


def label(detector, items, **settings):
    return list(Labeller(detector, rule_tags, threshold=0.3, **settings).label(items))


def all_pictures(pictures):
    return [item for part in plan_parts([pictures], 100) for item in read_part(part)]


def test_a_record_has_the_boxes_of_the_detector_and_their_phrases(detector, pictures):
    items = all_pictures(pictures)
    records = label(detector, items)
    assert [record.key for record in records] == [item.key for item in items]
    for record, item in zip(records, items, strict=True):
        pixels = record.read_image()
        assert record.size == pixels.shape[:2]
        assert record.image == item.image.path.read_bytes()
        assert record.caption == item.captions[0]
        phrases = {"a red dog on the grass": ["red dog", "grass"], "two cats and a tree": ["cats", "tree"]}.get(
            item.captions[0], ["big house", "car", "dog", "water"]
        )
        (found,) = detector.find([pixels], [phrases], 0.3)
        assert [region.text for region in record.regions] == [phrases[name] for name in found.names]
        assert np.allclose([region.box for region in record.regions], found.regions.boxes.numpy(), atol=0.02)
    assert sum(len(record.regions) for record in records) > 20


def test_pictures_together_are_pictures_one_by_one(detector, pictures):
    items = all_pictures(pictures)
    for one, two in zip(label(detector, items, batch=1), label(detector, items, batch=4), strict=True):
        assert (one.key, one.caption, one.image) == (two.key, two.caption, two.image)
        assert [region.text for region in one.regions] == [region.text for region in two.regions]
        boxes = [[region.box for region in record.regions] for record in (one, two)]
        assert np.allclose(*boxes, atol=0.02)


def test_bad_pictures_are_failures_and_lose_nothing_else(detector, pictures):
    items = all_pictures(pictures)
    expected = label(detector, items)
    bad = pictures / "bad.png"
    bad.write_bytes(b"\x89PNG nothing more")
    mixed = [CaptionedImage("bad", InputFile(bad, "bad"), ("a dog",)), *items]
    mixed.append(CaptionedImage("gone", InputFile(pictures / "gone.png", "gone"), ("a dog",)))
    mixed.insert(4, CaptionedImage("bare", b"\x89PNG", ()))
    mixed.insert(5, Failure("x", "because"))
    results = label(detector, mixed, batch=3)
    failures = [result for result in results if isinstance(result, Failure)]
    assert [failure.name for failure in failures] == [str(bad), "bare", "x", str(pictures / "gone.png")]
    assert "no such file" in failures[-1].reason.lower()
    kept = [result for result in results if isinstance(result, RegionTextRecord)]
    assert [record.key for record in kept] == [record.key for record in expected]


def test_a_model_that_fails_on_one_picture_keeps_the_others(detector, pictures):
    class Choosy:
        def find(self, images, texts, threshold):
            if any(image.shape[1] == 56 for image in images):
                raise RuntimeError("out of memory")
            return detector.find(images, texts, threshold)

    items = all_pictures(pictures)
    results = label(Choosy(), items, batch=4)
    failed = [i for i, result in enumerate(results) if isinstance(result, Failure)]
    assert [items[i].key for i in failed] == ["img2"]
    assert "out of memory" in results[failed[0]].reason


def test_a_picture_without_a_caption_is_captioned_or_told(detector, make_picture):
    class Captioner:
        def caption(self, images):
            return [f"a dog of {image.shape[1]}" if image.shape[1] > 30 else "" for image in images]

    items = [
        CaptionedImage("a", make_picture(0, (40, 50)), ()),
        CaptionedImage("b", make_picture(1, (40, 20)), ()),
        CaptionedImage("c", make_picture(2, (40, 60)), ("a cat",)),
    ]
    told = label(detector, items)
    assert [isinstance(result, Failure) for result in told] == [True, True, False]
    assert "--captioner" in told[0].reason
    first, second, third = label(detector, items, captioner=Captioner())
    assert (first.caption, third.caption) == ("a dog of 50", "a cat")
    assert {region.text for region in first.regions} == {"dog"}
    assert isinstance(second, Failure)


def test_a_caption_without_things_gives_a_record_without_regions(detector, make_picture):
    (record,) = label(detector, [CaptionedImage("a", make_picture(0), ("a photo of something",))])
    assert record.regions == ()


def test_turned_and_unusual_pictures_are_stored_as_they_are_seen(detector):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 40, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 8
    items = []
    for name, settings in (("turned.png", {"exif": exif}), ("b.bmp", {}), ("c.tiff", {})):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, name.partition(".")[2], **settings)
        items.append(CaptionedImage(name, file.getvalue(), ("a dog",)))
    turned, *others = label(detector, items)
    assert turned.size == (40, 20)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(turned.image))), np.rot90(pixels))
    for record in others:
        assert record.image.startswith(b"\x89PNG")
        assert np.array_equal(record.read_image(), pixels)


def test_a_detector_of_one_text_at_a_time_will_do(detector, pictures):
    class Plain:
        name = "plain"

        def detect(self, image, text, top=10):
            return detector.detect(image, text, top)

    items = all_pictures(pictures)[:2]
    for record in label(Plain(), items):
        assert record.regions
        assert {region.text for region in record.regions} == {
            "red dog",
            "grass",
        } or record.caption != "a red dog on the grass"


def test_settings_that_cannot_be_meant_are_refused(detector):
    with pytest.raises(UsageError, match="threshold"):
        Labeller(detector, rule_tags, threshold=1.5)
    with pytest.raises(UsageError, match="batch"):
        Labeller(detector, rule_tags, batch=0)
