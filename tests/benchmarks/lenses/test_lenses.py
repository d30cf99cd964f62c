"""The lenses on a few scenes and files: what they ask, what they print, and what they refuse."""

import json

import numpy as np
import pytest
import torch

from densevl.benchmarks.lenses.asked import ask, question
from densevl.benchmarks.lenses.contracts import Finding
from densevl.benchmarks.lenses.run import build_lenses, strangeness
from densevl.benchmarks.lenses.source import LabelledImage, Source
from densevl.benchmarks.lenses.subject import Subject
from densevl.core.errors import UsageError
from densevl.core.images import read_image
from densevl.core.regions import Regions
from densevl.datasets.corruptions import corrupt
from densevl.metrics.calibration import reliability


def found_by(name: str, subject: Subject, source: Source, **settings) -> Finding:
    (lens,) = build_lenses([name], {f"{name}.{key}": value for key, value in settings.items()})
    return lens.examine(subject, lens.gather(subject, source))


@pytest.fixture(scope="module")
def records(shapes, tmp_path_factory):
    """The examples as a file."""
    path = tmp_path_factory.mktemp("records") / "test.json"
    path.write_text(
        json.dumps(
            [{"image": str(one.image), "name": one.name, "box": one.box, "mask": str(one.mask)} for one in shapes]
        )
    )
    return path


def test_regions_and_pixels_are_asked_as_the_model_answers(mini, scenes):
    asked = question("test", mini, scenes)
    assert list(asked.vocabularies) == ["regions", "pixels"]
    found = ask(mini, asked, "regions")
    names = [name for image in asked.images for name in image.names]
    assert [found.names[label] for label in found.labels] == names
    first = asked.images[0]
    regions = mini.model.embed(first.read(), first.place((128, 128)))
    cosines = regions.vectors @ mini.model.embed_texts(list(found.names)).vectors.mT
    expected = (mini.temperature * cosines).softmax(1).numpy()
    np.testing.assert_allclose(found.probabilities[found.images == 0], expected, atol=1e-5)
    pixels = ask(mini, asked, "pixels", most=len(asked.images) * 50)
    assert len(pixels.labels) == len(asked.images) * 50
    assert pixels.weights.sum() == pytest.approx(len(asked.images) * 128 * 128)
    labels = mini.model.segment(first.read(), list(pixels.names), background="none")
    shown = pixels.logits[pixels.images == 0].argmax(1)
    assert (shown == pixels.labels[pixels.images == 0]).mean() > 0.6
    assert set(shown) <= set(np.unique(labels.labels))


def test_a_pixel_belongs_to_the_smallest_mask(shapes):
    def place(size):
        masks = torch.zeros(2, *size, dtype=torch.bool)
        masks[0, 2:4, 2:4] = True
        masks[1, 1:6, 1:6] = True
        return Regions.from_masks(masks)

    image = LabelledImage("a", lambda: np.zeros((8, 8, 3), np.uint8), ("small", "large"), place, True)
    labels, names = image.pixels((8, 8))
    assert names == ("small", "large")
    assert (labels == 0).sum() == 4
    assert (labels == 1).sum() == 21
    assert (labels == -1).sum() == 39


def test_calibration_says_what_the_answers_say(mini, scenes):
    found = found_by("calibration", mini, scenes, bins=10)
    asked = ask(mini, question("test", mini, scenes), "regions")
    judged = asked.chosen(asked.images % 2 == 1)
    sure = judged.probabilities.max(1)
    before = found.values["regions"]["before"]
    assert before["accuracy"] == pytest.approx(judged.right.mean())
    assert before["ece"] == pytest.approx(reliability(sure, judged.right, 10).expected_error, abs=1e-6)
    assert set(found.values) == {"regions", "pixels"}
    assert len(found.plots) == 4
    assert "at temperature" in found.lines[0]
    json.dumps(found.values, allow_nan=False)


def test_calibration_needs_two_images(mini):
    with pytest.raises(UsageError, match="needs two; got 1"):
        found_by("calibration", mini, Source(scenes=1, seed=3))


def test_strangers_are_told_of_scenes_and_of_taught_classes(mini, taught, scenes, records):
    found = found_by("ood", mini, Source(scenes=2, seed=3), pixels=2000)
    assert set(found.values) == {"new shapes", "new colours"}
    for one in found.values.values():
        assert set(one["regions"]["scores"]) == {"max probability", "entropy", "energy"} == set(one["pixels"]["scores"])
        assert one["regions"]["known"] > 0 < one["regions"]["unknown"]
    told = found_by("ood", taught, Source(records))
    (scores,) = (one["regions"]["scores"] for one in told.values.values())
    assert scores["distance"]["auroc"] > 0.8
    json.dumps([found.values, told.values], allow_nan=False)


def test_strangers_are_named_or_missing(mini, records):
    with pytest.raises(UsageError, match=r"needs strangers.*--unknown-names 'arrow'"):
        found_by("ood", mini, Source(records))
    with pytest.raises(UsageError, match=r"the unknown name 'arow' is none of .*; did you mean arrow\?"):
        found_by("ood", mini, Source(records, strangers=("arow",)))
    named = found_by("ood", mini, Source(records, strangers=("Shape",)), pixels=500)
    assert set(named.values["strangers"]) == {"regions", "pixels"}


def test_nothing_of_a_class_is_said(taught):
    with pytest.raises(UsageError, match=r"nothing in 2 scenes .* is of a class: .*and the classes are bolt, arrow"):
        found_by("calibration", taught, Source(scenes=2))


def test_corruptions_are_the_scores_of_corrupted_images(mini, scenes):
    pytest.importorskip("imagecorruptions")
    found = found_by("corruptions", mini, scenes, kinds="fog", severities=[5, 1], images=2, pixels=1000)
    asked = question("test", mini, Source(scenes=2, seed=3))
    own = ask(mini, asked, "regions", change=lambda image, index: corrupt(image, "fog", 5, index))
    assert found.values["regions"]["scores"]["fog"][1] == pytest.approx(own.accuracy)
    assert found.values["severities"] == [1, 5]
    assert found.values["pixels"]["clean"] == pytest.approx(ask(mini, asked, "pixels", 1000).mean_iou)
    assert found.values["pixels"]["curve"][1] < found.values["pixels"]["clean"]
    assert len(found.plots) == 2
    json.dumps(found.values, allow_nan=False)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kinds": ["fogg"]}, "corruption 'fogg' is unknown; did you mean fog"),
        ({"severities": [1, 6]}, r"takes severities of 1 to 5 and one image or more; got \[1, 6\]"),
        ({"images": 0}, "one image or more"),
    ],
)
def test_corruptions_that_cannot_be_used(settings, message):
    pytest.importorskip("imagecorruptions")
    with pytest.raises(UsageError, match=message):
        build_lenses(["corruptions"], {f"corruptions.{name}": value for name, value in settings.items()})


def test_things_match_where_whole_images_do_not(mini):
    found = found_by("matching", mini, Source(scenes=6, seed=1))
    assert found.values["kinds"]["colours"]["pairs"] == 2
    swapped = found.values["kinds"]["colours"]
    assert swapped["things"]["group"] > swapped["whole"]["group"]
    assert found.values["kinds"]["places"]["things"]["text"] == 0  # both captions name the same things
    json.dumps(found.values, allow_nan=False)


def test_pairs_of_a_file_are_matched_by_regions_of_the_model(mini, shapes, tmp_path):
    record = {"image_0": shapes[0].image.name, "image_1": shapes[-1].image.name}
    record |= {"caption_0": "a red circle on the grass", "caption_1": "on"}
    (tmp_path / "pairs.jsonl").write_text(json.dumps(record))
    found = found_by("matching", mini, Source(tmp_path / "pairs.jsonl", shapes[0].image.parent))
    assert {kind: one["pairs"] for kind, one in found.values["kinds"].items()} == {"all": 1}


def test_taught_classes_match_no_captions(taught, scenes):
    with pytest.raises(UsageError, match="'matching' asks by texts of its own, and taught classes know none"):
        found_by("matching", taught, scenes)


def test_a_head_that_was_not_taught_is_missing(taught):
    with pytest.raises(UsageError, match="asks about pixels, and these classes were taught for regions"):
        taught.require("calibration", "pixels")


def test_a_model_says_that_it_knows_nothing_like_photos(mini, scenes, root, tmp_path):
    assert strangeness(mini, scenes) is None
    photos = [{"image": str(root / "demo" / "photos" / name), "name": "thing"} for name in ("cat.png", "coffee.png")]
    (tmp_path / "photos.json").write_text(json.dumps(photos))
    said = strangeness(mini, Source(tmp_path / "photos.json"))
    assert said is not None
    assert "2 of 2 images look like nothing that model 'mini' knows (drawn scenes): these figures mean nothing" in said
    assert Source(tmp_path / "photos.json").some_images(1)[0].shape == read_image(photos[0]["image"]).shape
