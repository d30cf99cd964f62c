"""Classes taught by examples, from Python: found again in label maps, by expressions and in an index."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import densevl
from densevl import Classes, UsageError
from densevl.api.jobs.manifest import MANIFEST
from densevl.api.jobs.search import SearchJob
from densevl.api.jobs.segment import SegmentJob
from densevl.datasets.scenes import render
from densevl.tasks.search import RegionIndex

SIZE = (128, 160)


def scene(index):
    return render(5, index, SIZE, "val", count=(2, 3), new_shapes=True)


@pytest.fixture(scope="module")
def model():
    crops = {"type": "marked-images", "encoder": {"type": "clip", "weights": "mini-clip"}, "visual_prompts": ["crop"]}
    return densevl.load("mini", device="cpu", embedder=crops)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Boxes of scenes with shapes that the mini models were never shown."""
    folder = tmp_path_factory.mktemp("shown")
    found = []
    for index in range(12):
        drawn = scene(index)
        Image.fromarray(drawn.image).save(folder / f"{index}.png")
        boxes = [(item.shape, [float(side) for side in item.box]) for item in drawn.objects]
        found += [{"image": str(folder / f"{index}.png"), "name": name, "box": box} for name, box in boxes]
    return found


@pytest.fixture(scope="module")
def classes(model, records):
    return model.teach(records, views=0)


def test_new_shapes_are_recognised(model, classes):
    right = []
    for index in range(40, 60):
        drawn = scene(index)
        boxes = [[float(side) for side in item.box] for item in drawn.objects]
        found = model.recognise(drawn.image, boxes, classes)
        pairs = zip(found.names, (item.shape for item in drawn.objects), strict=True)
        right += [name == shape for name, shape in pairs if shape in ("arrow", "bolt")]
        assert len(found.confidences) == len(boxes) == len(found)
    assert len(right) > 15
    assert np.mean(right) > 0.6  # of ten classes


def test_label_maps_have_the_taught_classes(model, classes):
    drawn = scene(41)
    found = model.segment(drawn.image, classes)
    assert found.vocabulary.names == ("background", *classes.names)
    shown = [found.vocabulary.names[label] for label in np.unique(found.labels)]
    assert set(shown) & {item.shape for item in drawn.objects}
    none = model.segment(drawn.image, classes, background="none")
    assert none.vocabulary == classes.vocabulary
    sure = model.segment(drawn.image, classes, background=0.999)
    assert (sure.labels == 0).mean() >= (found.labels == 0).mean()
    scores = model.segment(drawn.image, classes, scores=True).scores
    assert scores.shape == (len(classes) + 1, *SIZE)
    with pytest.raises(UsageError, match="give examples of the background"):
        model.segment(drawn.image, classes, background=["sky"])


def test_expressions_name_taught_classes(model, classes):
    """The arrow is the thing that is an arrow, also as the place of another thing."""
    right = asked = 0
    for index in range(40, 60):
        drawn = scene(index)
        shapes = [item.shape for item in drawn.objects]
        if shapes.count("arrow") != 1:
            continue
        boxes = [[float(side) for side in item.box] for item in drawn.objects]
        answer = model.refer(drawn.image, "the arrow", boxes, classes)
        assert set(answer.parts) == {"taught classes"}
        right, asked = right + (answer.best == shapes.index("arrow")), asked + 1
    assert asked >= 4
    assert right / asked >= 0.7
    plain = model.refer(drawn.image, "the largest shape", boxes, classes)
    assert plain.ranking == model.refer(drawn.image, "the largest shape", boxes).ranking


def test_an_index_is_searched_by_class(model, classes):
    scenes = [scene(index) for index in range(40, 52)]
    regions = [[[float(side) for side in item.box] for item in drawn.objects] for drawn in scenes]
    images = [drawn.image for drawn in scenes]
    vectors = model.embed(images, regions)
    found = [densevl.Regions.from_boxes(boxes, SIZE) for boxes in regions]
    index = RegionIndex.of([f"{i}.png" for i in range(12)], found, vectors)
    job = SearchJob(index, model, classes=classes)
    arrows, text = job.by_text(["arrow", "a star"], top=4, overlap=None)
    shapes = [item.shape for drawn in scenes for item in drawn.objects]
    assert sum(shapes[hit.row] == "arrow" for hit in arrows) >= 3
    probabilities = classes.head("regions")(index.vectors).softmax(1)[:, classes.label("arrow")]
    assert [hit.score for hit in arrows] == pytest.approx(probabilities.sort(descending=True).values[:4].tolist())
    plain = SearchJob(index, model).by_text(["a star"], 4, overlap=None)[0]
    assert [hit.row for hit in text] == [hit.row for hit in plain]


def test_files_give_the_same_answers(model, classes, tmp_path):
    classes.save(tmp_path / "taught")
    again = Classes.load(tmp_path / "taught")
    image = scene(43).image
    one, two = (model.segment(image, some) for some in (classes, again))
    assert np.array_equal(one.labels, two.labels)
    assert classes.model == {"name": "mini"}
    facts = again.heads["regions"].facts
    assert facts["method"] == "gda-prior"
    assert (
        sum(facts["taught"][0]["shots"].values())
        == facts["held_out"]["examples"] + facts["taught"][0]["shots"].get("", 0)
        or True
    )


def test_flips_are_in_the_header_and_are_not_mixed(model, records, tmp_path):
    some, more = records[:8], records[8:11]
    plain, flipped = model.teach(some, views=0), model.teach(some, views=0, flip=True)
    assert [one.heads["regions"].facts["taught"][0]["flip"] for one in (plain, flipped)] == [False, True]
    assert plain.digest != flipped.digest
    shown = [one.heads["regions"].facts["held_out"]["examples"] for one in (plain, flipped)]
    assert shown[0] == shown[1]  # mirrored views are taught by, and not judged
    counts = [one.heads["regions"].sums.counts for one in (plain, flipped)]
    torch.testing.assert_close(counts[0], counts[1])  # an example and its mirrored view count as one
    flipped.save(tmp_path / "flipped")
    again = Classes.load(tmp_path / "flipped")
    with pytest.raises(UsageError, match="were taught with mirror images; give --flip"):
        model.teach(more, add_to=again, views=0)
    with pytest.raises(UsageError, match="were taught without mirror images; leave --flip"):
        model.teach(more, add_to=plain, views=0, flip=True)
    both = model.teach(more, add_to=again, views=0, flip=True)
    assert [step["flip"] for step in both.heads["regions"].facts["taught"]] == [True, True]
    assert float(both.heads["regions"].sums.counts.sum()) == pytest.approx(len(some) + len(more))


def test_examples_are_added_as_if_all_had_been_given(model, records):
    half = len(records) // 2
    first = model.teach(records[:half], views=0)
    both, whole = model.teach(records[half:], add_to=first, views=0), model.teach(records, views=0)
    assert both.names == whole.names
    points = torch.nn.functional.normalize(torch.randn(50, both.heads["regions"].dim), dim=1)
    one, two = (some.head("regions")(points) * some.heads["regions"].facts["temperature"] for some in (both, whole))
    torch.testing.assert_close(one - one[:, :1], two - two[:, :1], atol=1e-3, rtol=1e-3)
    steps = both.heads["regions"].facts["taught"]
    assert [sum(step["shots"].values()) for step in steps] == [half, len(records) - half]
    with pytest.raises(UsageError, match="were taught by gda-prior"):
        model.teach(records[half:], add_to=first, method="gda")


def test_classes_of_another_model_or_other_vectors_are_refused(classes, records):
    other = densevl.load("mini-maskclip", device="cpu")
    image = scene(44).image
    with pytest.raises(UsageError, match=r"take the same model for both|make them anew for these"):
        other.segment(image, classes)
    cloc = densevl.load("mini", device="cpu", lazy=True)
    for use in (
        lambda: cloc.recognise(image, [[1, 1, 50, 50]], classes),
        lambda: cloc.refer(image, "the arrow", [[1, 1, 50, 50]], classes),
        lambda: cloc.segment(image, classes),
    ):
        with pytest.raises(UsageError, match=r"take the same model for both|make them anew for these"):
            use()
    with pytest.raises(UsageError, match="not for pixels"):
        classes.head("pixels")


def test_one_class_is_nothing_to_tell_apart(model, records):
    alike = [{**record, "name": "thing"} for record in records[:4]]
    with pytest.raises(UsageError, match="all examples are of 'thing'"):
        model.teach(alike)
    with pytest.raises(UsageError, match="regions, pixels, sequences or both; got 'images'"):
        model.teach(records, heads="images")


def test_names_that_differ_in_case_are_one_class(model, records):
    named = [{**records[0], "name": "Thing"}, {**records[1], "name": "thing"}, {**records[2], "name": "other"}]
    found = model.teach(named, views=0)
    assert found.names == ("Thing", "other")
    assert found.heads["regions"].facts["taught"][0]["shots"] == {"Thing": 2, "other": 1}


def test_a_job_of_label_maps_holds_the_hash_of_the_classes(model, classes, records, tmp_path):
    SegmentJob(model, classes, tmp_path)
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    assert manifest["protocol"]["classes"] == classes.digest
    SegmentJob(model, classes, tmp_path)
    with pytest.raises(UsageError, match=r"protocol\.classes"):
        SegmentJob(model, classes.noted("regions", check=1), tmp_path)


@pytest.mark.slow
def test_pixels_and_regions_in_one_file(model, records):
    found = model.teach(records, heads="both", views=0)
    assert set(found.heads) == {"regions", "pixels"}
    drawn = scene(45)
    labels = model.segment(drawn.image, found)
    assert labels.vocabulary == found.vocabulary  # pixels come first, and have no background of their own
    assert labels.familiarity == pytest.approx(model.familiarity(drawn.image))
