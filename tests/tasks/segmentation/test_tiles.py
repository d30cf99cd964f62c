"""Tiles cover an image once, and give the labels of the whole where windows see the image as given."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import densevl
from densevl.core.errors import UsageError
from densevl.core.image_windows import open_windows
from densevl.datasets.scenes import render
from densevl.tasks.segmentation.tiles import Tiling, label_tiles

WORDS = "red circle, blue square, green heart, grass, sand"


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.integers(10, 150),
    st.floats(0, 0.9),
    st.sampled_from([None, (8, 4), (7, 3)]),
)
def test_cores_are_the_image_and_lie_in_their_crops(height, width, side, share, windows):
    step = 1 if windows is None else windows[1]
    overlap = min(int(side * share), side - 2 * step)
    tiling = Tiling(side, overlap, windows)
    seen = np.zeros((height, width), int)
    for tile in tiling.tiles((height, width)):
        left, top, right, bottom = tile.crop
        assert 0 <= left < right <= min(width, left + side)
        assert 0 <= top < bottom <= min(height, top + side)
        begin, first, end, last = tile.core
        assert left <= begin < end <= right
        assert top <= first < last <= bottom
        seen[first:last, begin:end] += 1
    assert (seen == 1).all()


def test_each_pixel_has_the_label_of_its_tile():
    """A labeller that says which crop it saw: pixels far from edges are those of the nearest crop."""
    image = np.arange(60 * 50 * 3, dtype=np.uint32).astype(np.uint8).reshape(60, 50, 3)
    with open_windows(image) as windows:
        labels, best = label_tiles(
            Tiling(20, 4), windows.size, windows.read, lambda crop: (crop[..., 0].astype(int), crop[..., 1] / 255)
        )
    assert (labels == image[..., 0]).all()
    assert np.allclose(best, image[..., 1] / 255)


@pytest.fixture(scope="module")
def native():
    """A model whose windows see the image as given."""
    return densevl.load("mini-maskclip", short_side=None, window=16, stride=8, window_batch=64)


def test_tiles_give_the_labels_of_the_whole(native):
    image = render(0, 0, (56, 66), count=(4, 10)).image
    whole, tiled = native.segment(image, WORDS), native.segment(image, WORDS, tiling=native.tiling(50, 16))
    assert (tiled.labels == whole.labels).all()
    assert np.abs(tiled.best - whole.best).max() < 1e-5


def test_an_image_in_one_tile_is_the_image():
    model = densevl.load("mini-maskclip", short_side=64)
    image = render(0, 1, (80, 100), count=(4, 10)).image
    assert (model.segment(image, WORDS, tiling=200).labels == model.segment(image, WORDS).labels).all()


def test_what_cannot_be_cut_is_refused(native):
    image = render(0, 0, (32, 32)).image
    with pytest.raises(UsageError, match="enlarge the tile"):
        native.segment(image, WORDS, tiling=8)
    with pytest.raises(UsageError, match="leave out scores"):
        native.segment(image, WORDS, tiling=64, scores=True)
    with pytest.raises(UsageError, match="give the image itself"):
        native.segment(native.encode(image), WORDS, tiling=64)


@pytest.mark.parametrize("kind", ["L", "RGB", "I;16"])
def test_parts_of_a_tiff_are_those_of_the_whole(tmp_path, kind):
    rasterio = pytest.importorskip("rasterio")
    path, values = tmp_path / "a.tif", np.random.default_rng(0).integers(0, 65536, (3, 70, 90))
    bands = {"L": values[:1] >> 8, "RGB": values >> 8, "I;16": values[:1]}[kind]
    profile = {"driver": "GTiff", "height": 70, "width": 90, "tiled": True, "blockxsize": 32, "blockysize": 32}
    dtype = "uint16" if kind == "I;16" else "uint8"
    with rasterio.open(path, "w", count=len(bands), dtype=dtype, **profile) as file:
        file.write(bands.astype(dtype))
    whole = densevl.read_image(path)
    with open_windows(path) as windows:
        assert windows.pixels is None
        assert windows.size == (70, 90)
        assert (windows.read((10, 20, 60, 70)) == whole[20:70, 10:60]).all()


def test_a_tiff_that_is_turned_or_transparent_is_read_whole(tmp_path):
    image = render(0, 0, (40, 60)).image
    Image.fromarray(image).save(tmp_path / "turned.tif", tiffinfo={274: 6})
    Image.fromarray(np.dstack([image, np.full(image.shape[:2], 90, np.uint8)])).save(tmp_path / "clear.tif")
    for name in ("turned.tif", "clear.tif"):
        whole = densevl.read_image(tmp_path / name)
        with open_windows(tmp_path / name) as windows:
            assert (windows.read((0, 0, windows.size[1], windows.size[0])) == whole).all()
