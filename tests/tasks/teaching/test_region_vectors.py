"""Examples as vectors of regions, and classes of them, by the mini models."""

import numpy as np
import pytest
import torch
from PIL import Image
from toys.sent import SentEngine

import densevl
from densevl import ImageError, UsageError
from densevl.api.loading import Loading
from densevl.api.teaching import PartOf
from densevl.core.regions import Regions
from densevl.datasets.examples import Example
from densevl.datasets.scenes import render
from densevl.regions.embedders.embedder import space_of
from densevl.tasks.teaching import region_vectors as region_vectors_module
from densevl.tasks.teaching.region_vectors import ExampleWorker, region_vectors
from densevl.tasks.teaching.views import mirror_image, skip_view, views_of


@pytest.fixture(scope="module")
def model():
    return densevl.load("mini", device="cpu", lazy=True)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    made = [render(5, index, split="val") for index in range(3)]
    paths = [folder / f"{index}.png" for index in range(3)]
    for path, scene in zip(paths, made, strict=True):
        Image.fromarray(scene.image).save(path)
    return paths, made


def of_scene(path, scene):
    return [
        Example(path, item.shape, f"{path} {i}", box=tuple(map(float, item.box)))
        for i, item in enumerate(scene.objects)
    ]


def test_vectors_are_those_of_the_model_and_views_follow(model, scenes):
    paths, made = scenes
    examples = [one for path, scene in zip(paths, made, strict=True) for one in of_scene(path, scene)]
    count = len(examples)
    found = region_vectors(examples, list(range(count)), model._pipeline, views=2, seed=3)
    assert found.vectors.shape[0] == 3 * count
    assert found.things.tolist() == [*range(count)] * 3
    assert found.groups[:count].tolist() == [paths.index(one.image) for one in examples]
    assert found.space == space_of(model.embedder)
    assert found.weights.tolist() == [pytest.approx(1 / 3)] * (3 * count)
    start = 0
    for path, scene in zip(paths, made, strict=True):
        alone = model.embed(path, [list(map(float, item.box)) for item in scene.objects]).vectors
        torch.testing.assert_close(found.vectors[start : start + len(alone)], alone, atol=2e-5, rtol=0)
        start += len(alone)
    assert torch.equal(
        found.vectors, region_vectors(examples, list(range(count)), model._pipeline, views=2, seed=3).vectors
    )


@pytest.mark.parametrize("embedder", ["mask-pooling", pytest.param("marked-images", marks=pytest.mark.slow)])
def test_other_processes_give_the_same_vectors_to_the_last_bit(scenes, tmp_path, embedder, monkeypatch):
    """Boxes, masks and points; the views of an image do not hang on where the images before it were looked at."""
    monkeypatch.setattr(region_vectors_module, "TOGETHER", 1)
    monkeypatch.setattr(ExampleWorker, "batch", 1)
    paths, made = scenes
    loading = Loading("mini", {"device": "cpu", "lazy": True, "embedder": embedder})
    examples = [one for path, scene in zip(paths, made, strict=True) for one in of_scene(path, scene)[:2]]
    left, top, right, bottom = made[1].objects[0].box
    mask = ((left, top, right, top, right, bottom, left, bottom),)
    examples.insert(1, Example(paths[1], "square", "e", mask=mask))
    examples.insert(2, Example(paths[0], "square", "f", point=((left + right) / 2, (top + bottom) / 2)))
    settings = (examples, list(range(len(examples))), loading.load().pipeline, 2, 3, True)
    here = region_vectors(*settings)
    sent = region_vectors(*settings, SentEngine(), PartOf(loading.load, "pipeline"))
    assert torch.equal(here.vectors, sent.vectors)


@pytest.mark.parametrize("masked", [False, True])
def test_a_view_that_is_skipped_draws_what_it_would_have(masked):
    boxes = torch.tensor([[2.0, 3.0, 30.0, 40.0], [5.0, 5.0, 9.0, 20.0]])
    masks = torch.zeros(2, 50, 60, dtype=torch.bool)
    masks[:, 5:20, 5:20] = True
    first, second = np.random.default_rng(3), np.random.default_rng(3)
    views_of(Regions.from_masks(masks) if masked else Regions(boxes, (50, 60)), 1, first)
    skip_view(2, masked, second)
    assert first.bit_generator.state == second.bit_generator.state


def test_an_error_of_another_process_is_the_error_here(scenes, tmp_path):
    loading = Loading("mini", {"device": "cpu", "lazy": True})
    wrong = [Example(scenes[0][0], "ring", "example 7", box=(500.0, 500.0, 600.0, 600.0))]
    with pytest.raises(UsageError, match="example 7: the box"):
        region_vectors(wrong, [0], loading.load().pipeline, engine=SentEngine(), again=PartOf(loading.load, "pipeline"))
    (tmp_path / "no.png").write_text("no")
    with pytest.raises(ImageError, match="no image in a known format"):
        region_vectors([Example(tmp_path / "no.png", "ring")], [0], loading.load().pipeline)


def test_mirrored_views_are_the_views_of_the_mirror_image(model, scenes, tmp_path):
    paths, made = scenes
    examples = [one for path, scene in zip(paths, made, strict=True) for one in of_scene(path, scene)]
    labels, count = list(range(len(examples))), len(examples)
    found = region_vectors(examples, labels, model._pipeline, views=1, seed=3, flip=True)
    plain = region_vectors(examples, labels, model._pipeline, views=1, seed=3)
    torch.testing.assert_close(found.vectors[: 2 * count], plain.vectors)  # nothing else changes
    assert torch.equal(found.things, plain.things.repeat(2))
    assert torch.equal(found.groups, plain.groups.repeat(2))  # held out together with their image
    assert torch.equal(found.labels, plain.labels.repeat(2))
    assert found.weights.tolist() == [pytest.approx(1 / 4)] * (4 * count)
    start = 2 * count
    for path, scene in zip(paths, made, strict=True):
        pixels = densevl.read_image(path)
        masks = model._pipeline.prepare(pixels, densevl.Regions.from_boxes([i.box for i in scene.objects], (128, 128)))
        turned = densevl.Regions.from_boxes(
            [[128 - x1, y0, 128 - x0, y1] for x0, y0, x1, y1 in masks.boxes], (128, 128)
        )
        if masks.masks is not None:
            turned = turned.with_masks(masks.masks.flip(2))
        alone = model.embed(mirror_image(pixels), turned).vectors
        torch.testing.assert_close(found.vectors[start : start + len(alone)], alone, atol=2e-5, rtol=0)
        start += len(alone)
    assert start == 3 * count


def test_captions_are_those_of_mirrored_views_too(model, scenes):
    (path, *_), _ = scenes
    examples = [Example(path, "ring", caption="a red ring"), Example(path, "star", box=(1, 1, 40, 40))]
    found = region_vectors(examples, [0, 1], model._pipeline, flip=True)
    assert len(found.captions) == len(found.vectors) == 4
    assert torch.equal(found.captions[:2], found.captions[2:])


def test_masks_points_and_whole_images_mix(model, scenes):
    (path, *_), (scene, *_) = scenes
    item = scene.objects[0]
    polygon = ((0.0, 0.0, 40.0, 0.0, 40.0, 40.0, 0.0, 40.0),)
    examples = [
        Example(path, "whole"),
        Example(path, "drawn", mask=polygon),
        Example(path, "point", point=item.centre),
        Example(path, "box", box=tuple(map(float, item.box))),
    ]
    found = region_vectors(examples, [0, 1, 2, 3], model._pipeline)
    assert found.vectors.isfinite().all()
    assert float(found.vectors[2] @ found.vectors[3]) > 0.7  # the point lies in the box's object


def test_points_want_a_mask_maker(scenes):
    (path, *_), _ = scenes
    plain = densevl.load("mini-maskclip", device="cpu", lazy=True)
    with pytest.raises(UsageError, match="makes no masks of points"):
        region_vectors([Example(path, "point", "here", point=(3.0, 3.0))], [0], plain._pipeline)


def test_captions_are_vectors_of_texts(model, scenes):
    (path, *_), _ = scenes
    examples = [Example(path, "ring", caption="a red ring"), Example(path, "star", box=(1, 1, 40, 40))]
    found = region_vectors(examples, [0, 1], model._pipeline, views=1)
    expected = model.embedder.encoder.embed_texts(["a red ring", "star"], ["{}"])
    torch.testing.assert_close(found.captions, expected.repeat(2, 1), atol=1e-5, rtol=0)


def test_a_broken_image_is_named(model, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"no image")
    with pytest.raises(densevl.ImageError, match=r"a\.png"):
        region_vectors([Example(path, "x")], [0], model._pipeline)


def test_many_examples_of_an_image_are_one_pass(scenes):
    (path, *_), _ = scenes
    corners = np.random.default_rng(0).uniform(0, 60, (1000, 2)).tolist()
    examples = [Example(path, "x", box=(x, y, x + 40, y + 40)) for x, y in corners]
    plain = densevl.load("mini-maskclip", device="cpu", lazy=True)
    assert len(region_vectors(examples, [0] * 1000, plain._pipeline).vectors) == 1000
