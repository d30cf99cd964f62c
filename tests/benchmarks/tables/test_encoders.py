"""The table of encoders: what its tasks count, its blanks, and encoders that are not here."""

import json

import numpy as np
import pytest
from PIL import Image

from densevl.api.loading import load
from densevl.benchmarks.tables import encoder_tasks, encoders, measure
from densevl.benchmarks.tables.encoder_tasks import PhotoTasks, SceneTasks
from densevl.core.errors import UsageError
from densevl.core.regions import RegionEmbeddings


@pytest.fixture(scope="module")
def model():
    return load("mini-clip", device="cpu")


@pytest.fixture(scope="module")
def scenes():
    return SceneTasks(2, 11)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two photos with a cat and a cup each, of which the second is not chosen on, and captions of both."""
    folder = tmp_path_factory.mktemp("data")
    coco = folder / "coco"
    (coco / "annotations").mkdir(parents=True)
    (coco / "val2017").mkdir()
    images = [{"id": i, "file_name": f"{i}.png", "height": 80, "width": 100} for i in (10, 20)]
    annotations = []
    for image in images:
        pixels = np.full((80, 100, 3), 40, np.uint8)
        pixels[:60, 50:] = 200
        Image.fromarray(pixels).save(coco / "val2017" / image["file_name"])
        for category, left in ((3, 0), (7, 50)):
            outline = [left, 0, left + 50, 0, left + 50, 60, left, 60]
            annotations.append(
                {"image_id": image["id"], "category_id": category, "bbox": [left, 0, 50, 60], "area": 3000,
                 "segmentation": [outline], "iscrowd": 0}
            )  # fmt: skip
    categories = [{"id": 3, "name": "cat"}, {"id": 7, "name": "cup"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    panoptic = {"images": images, "annotations": [], "categories": categories}
    said = [{"image_id": image["id"], "caption": "democracy beside bureaucracy"} for image in images]
    for name, value in (("instances", content), ("panoptic", panoptic), ("captions", {"annotations": said})):
        (coco / "annotations" / f"{name}_val2017.json").write_text(json.dumps(value))
    return folder


def test_the_mini_clip_does_every_task_of_scenes(scenes, model):
    assert 50 < scenes.label_maps(model) <= 100
    assert min(scenes.names(model), scenes.regions(model), scenes.expressions(model)) > 50
    assert min(scenes.captions(model)) > 50


def test_perfect_vectors_have_perfect_figures(scenes, model, monkeypatch):
    texts = model.embed_texts(list(scenes.held_out.texts)).vectors
    vectors = texts[scenes.held_out.truths]
    monkeypatch.setattr(scenes, "_vectors", lambda _: [RegionEmbeddings(vectors, model.embedder.encoder.model_id)])
    assert scenes.regions(model) == 100
    turned = [RegionEmbeddings(vectors.roll(1, 0), model.embedder.encoder.model_id)]
    monkeypatch.setattr(scenes, "_vectors", lambda _: turned)
    assert scenes.regions(model) < 50


def test_rows_and_the_cure_for_what_is_not_here(monkeypatch):
    monkeypatch.setattr(encoders, "SEEDS", (11, 12))
    table = measure("encoders", 1, models=["clip-vit-b32-openai", "mini-clip"])
    absent, mini = table.rows
    assert absent[0] == "clip-vit-b32-openai"
    assert absent[1][-1] == "MIT"
    assert all(value != value for value in absent[1][:8])
    assert "clip-vit-b32-openai is not here: densevl fetch clip-vit-b32-openai." in table.note
    assert len(mini[1]) == len(table.head) - 1
    assert len(mini[1][0].values) == 2
    assert mini[1][-2] == pytest.approx(3.68, abs=0.01)
    assert "| Apache-2.0 |" in str(table)


def test_the_mini_family_is_compared_where_nobody_names_a_model():
    assert encoders._mini()[0] == "mini-clip"
    assert all(name.startswith("mini-") for name in encoders._mini())


def test_what_a_closed_set_cannot_do_is_blank_and_said(data):
    table = measure("encoders", 1, data=data, models=["photo-fast"])
    ((name, cells),) = table.rows
    assert name == "photo-fast"
    assert [f"{cell:.0f}" == "nan" for cell in cells[:6]] == [False, False, False, False, True, True]
    assert "photo-fast, captions: " in table.note


def test_photos_on_which_settings_were_chosen_are_left_out(data):
    tasks = PhotoTasks(data)
    assert [photo.path.name for photo in tasks.photos] == ["20.png"]
    assert [photo.path.name for photo, _ in tasks.said] == ["20.png"]
    assert len(tasks.labelled) == 1
    assert "1 with masks, 2 boxes, 1 photos with captions" in tasks.about


def test_a_region_is_one_of_the_names_also_where_a_model_has_a_background(data):
    tasks, photo = PhotoTasks(data), load("photo-fast", device="cpu")
    scores = encoder_tasks._named(photo, tasks._vectors(photo), tasks.names_asked)
    assert scores.shape == (2, len(tasks.names_asked))


def test_captions_that_are_no_list(data, tmp_path):
    copied = tmp_path / "other" / "coco" / "annotations"
    copied.mkdir(parents=True)
    (copied.parent / "val2017").symlink_to(data / "coco" / "val2017")
    for name in ("instances", "panoptic"):
        (copied / f"{name}_val2017.json").symlink_to(data / "coco" / "annotations" / f"{name}_val2017.json")
    (copied / "captions_val2017.json").write_text('{"captions": []}')
    with pytest.raises(UsageError, match="has no list of captions"):
        PhotoTasks(tmp_path / "other")


def test_unknown_names_and_tables_that_compare_nothing():
    with pytest.raises(UsageError, match="model 'mini-clop' is unknown; did you mean"):
        measure("encoders", 1, models=["mini-clip", "mini-clop"])
    with pytest.raises(UsageError, match="models: they are compared by benchmarks, dense, encoders"):
        measure("dinoiser", 1, models=["mini-clip"])
