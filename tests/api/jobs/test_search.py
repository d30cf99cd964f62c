"""Hits as they are shown."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from densevl.api.jobs.search import Example, SearchJob, cut_out, hit_records, named_things, sheet_name
from densevl.api.model import Model
from densevl.core.masks import encode_masks
from densevl.core.regions import RegionEmbeddings, Regions
from densevl.regions.embedders.embedder import RegionEmbedder
from densevl.tasks.search import Hit, IndexedImage, RegionIndex


def hit(box, size=(100, 200), mask=None, path="a.png"):
    code = "" if mask is None else encode_masks(torch.from_numpy(mask)[None])[0]["counts"]
    return Hit(0.25, IndexedImage(path, size), box, None, code, 3)


class Nothing(RegionEmbedder):
    """An embedder that is never asked."""

    encoder, needs_masks, protocol = SimpleNamespace(model_id="m"), False, {}

    def embed(self, image, regions):
        raise NotImplementedError


@pytest.fixture(scope="module")
def picture():
    """Black with a red box of 40 by 20 pixels at (60, 30)."""
    image = np.zeros((100, 200, 3), np.uint8)
    image[30:50, 60:100] = (255, 0, 0)
    return image


def test_the_hit_stands_in_the_middle_in_its_own_colours(picture):
    tile = cut_out(picture, hit((60.0, 30.0, 100.0, 50.0)), side=170)
    assert tile.shape == (170, 170, 3)
    scale = 170 / (1.7 * 40)
    red = (tile == (255, 0, 0)).all(-1)
    y, x = np.nonzero(red)
    assert abs((x.min() + x.max() + 1) / 2 - 85) <= 1
    assert abs((y.min() + y.max() + 1) / 2 - 85) <= 1
    assert x.max() + 1 - x.min() == pytest.approx(40 * scale, abs=12)
    assert y.max() + 1 - y.min() == pytest.approx(20 * scale, abs=12)
    assert tile[3, 85].min() > 80, "what lies round it is paler"
    assert not (tile == 0).all(-1).any()


def test_the_outline_follows_the_mask_where_there_is_one(picture):
    mask = np.zeros((100, 200), bool)
    mask[30:50, 60:80] = True
    boxed, masked = (cut_out(picture, hit((60.0, 30.0, 100.0, 50.0), mask=m)) for m in (None, mask))
    right = (slice(80, 96), slice(100, 130))
    assert (boxed[right] == (255, 0, 0)).all(-1).mean() > 0.9
    assert (masked[right] == (255, 0, 0)).all(-1).mean() == 0


@pytest.mark.parametrize("box", [(0.0, 0.0, 1.0, 1.0), (199.0, 99.0, 200.0, 100.0), (0.0, 0.0, 200.0, 100.0)])
def test_hits_at_the_edge_and_of_one_pixel(picture, box):
    assert cut_out(picture, hit(box)).shape == (176, 176, 3)


def test_records_are_plain_values(picture):
    (record,) = hit_records([hit((1.0, 2.0, 3.0, 4.5))])
    assert record == {"rank": 1, "score": 0.25, "image": "a.png", "box": [1, 2, 3, 4.5], "proposal": None}
    (record,) = hit_records([hit((1.0, 2.0, 3.0, 4.0), mask=np.eye(100, 200, dtype=bool))])
    assert record["mask"]["size"] == [100, 200]


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("A striped sponge!", "a-striped-sponge.search.png"),
        ("../../etc", "etc.search.png"),
        ("?", "query.search.png"),
        ("赤い輪", "赤い輪.search.png"),
        ("x" * 400, "x" * 60 + ".search.png"),
    ],
)
def test_names_of_sheets(query, name):
    assert sheet_name(query) == name


def test_examples_say_what_they_are(tmp_path):
    assert str(Example(tmp_path / "a.png")) == "like a.png"
    assert str(Example(tmp_path / "a.png", (1.0, 2.5, 3.0, 4.0))) == "like a.png (1, 2.5, 3, 4)"


def test_images_that_moved_or_changed_are_told(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "here.png")
    Image.fromarray(picture[:50]).save(tmp_path / "changed.png")
    names = [str(tmp_path / name) for name in ("here.png", "changed.png", "gone.png")]
    one = RegionEmbeddings(torch.eye(2)[:1], "m")
    index = RegionIndex.of(names, [Regions.whole((100, 200))] * 3, [one] * 3)
    job = SearchJob(index, Model(None, "toy", embedder=Nothing()))
    hits = index.search(one)[0]
    sheet, missing = job.sheet("everything", hits)
    assert missing == names[1:]
    assert sheet.shape[1] > 3 * 176
    empty, none = job.sheet("nothing", [])
    assert none == []
    assert empty.shape[0] < sheet.shape[0]


@pytest.mark.parametrize(
    ("text", "things"),
    [
        ("a red ring", ("red ring",)),
        ("the red ring and the blue square", ("red ring", "blue square")),
        ("a black and white cat", ("black and white cat",)),
        ("the ring left of a cup and a plate", ("ring", "cup", "plate")),
    ],
)
def test_the_things_of_a_query(text, things):
    assert named_things(text) == things
