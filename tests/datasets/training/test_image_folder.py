"""Training pictures: which are drawn, and what is seen of each."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader

from densevl.core.errors import UsageError
from densevl.datasets.training import image_folder
from densevl.datasets.training.image_folder import EpochSampler, ImageFolder


@pytest.fixture
def folder(tmp_path):
    """Ten pictures in two folders; the red value of each tells which it is."""
    for i in range(10):
        place = tmp_path / "pictures" / "ab"[i % 2] / f"{i}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40 + i, 30), (10 * i + 20, 100, 0)).save(place)
    return tmp_path / "pictures"


def names(data: ImageFolder) -> list[str]:
    return [file.stem for file in data.files]


def test_the_seed_decides_which_are_drawn(folder):
    drawn = names(ImageFolder(folder, count=6, size=16))
    assert len(set(drawn)) == 6
    assert drawn == names(ImageFolder(folder, count=6, size=16))
    assert drawn != names(ImageFolder(folder, count=6, size=16, seed=1))
    assert sorted(names(ImageFolder(folder, count=None, size=16))) == [str(i) for i in range(10)]


def test_what_is_seen_depends_on_seed_epoch_and_index_alone(folder):
    data = ImageFolder(folder, count=10, size=16)
    seen = [data[number]["images"] for number in range(30)]
    for view in seen:
        assert view.shape == (3, 16, 16)
        assert view.dtype == torch.uint8
    torch.rand(3)
    assert all(torch.equal(ImageFolder(folder, count=10, size=16)[n]["images"], seen[n]) for n in (3, 27))
    assert not torch.equal(seen[3], seen[13])


def test_workers_see_the_same(folder):
    data = ImageFolder(folder, count=10, size=16)
    sampler = EpochSampler(data, shuffle=True, seed=4)
    sampler.set_epoch(2)
    alone, helped = (
        [batch["images"] for batch in DataLoader(data, 3, sampler=sampler, num_workers=count)] for count in (0, 2)
    )
    assert all(torch.equal(a, b) for a, b in zip(alone, helped, strict=True))


def test_the_sampler_counts_epochs(folder):
    data = ImageFolder(folder, count=10, size=16)
    sampler = EpochSampler(data, shuffle=True, seed=4)
    assert sorted(sampler) == list(range(10))
    sampler.set_epoch(3)
    assert sorted(sampler) == list(range(30, 40))
    assert [number % 10 for number in sampler] != list(range(10))


@given(st.integers(20, 70), st.integers(20, 70), st.integers(0, 100))
@settings(max_examples=25, deadline=None)
def test_a_crop_is_a_part_of_the_resized_picture(height, width, seed):
    """Of a picture whose short side has the size already, a crop is a window, mirrored or not, times one factor."""
    size = min(height, width)
    image = np.random.default_rng(seed).integers(0, 120, (height, width, 3), dtype=np.uint8)
    crop = image_folder._crop(image, size, 0.5, np.random.default_rng(seed)).astype(float)
    windows = [
        image[y : y + size, x : x + size][:, ::step]
        for y in range(height - size + 1)
        for x in range(width - size + 1)
        for step in (1, -1)
    ]
    errors = []
    for window in windows:
        factor = (crop * window).sum() / (window.astype(float) ** 2).sum()
        if 0.5 <= factor <= 1.5:
            errors.append(np.abs(crop - factor * window).max())
    assert min(errors) < 0.6


def test_small_pictures_are_enlarged(folder):
    data = ImageFolder(folder, count=1, size=64, brightness=0.0)
    image = data[0]["images"]
    assert image.shape == (3, 64, 64)
    assert (image[0] == 10 * int(data.files[0].stem) + 20).all()


def test_brightness_stays_in_range(folder):
    data = ImageFolder(folder, count=1, size=16)
    true = 10 * int(data.files[0].stem) + 20
    factors = [data[n]["images"][0, 0, 0].item() / true for n in range(60)]
    assert min(factors) > 0.45
    assert max(factors) < 1.55
    assert max(factors) - min(factors) > 0.6


def test_unreadable_pictures_are_replaced(folder):
    (folder / "a" / "bad.jpg").write_bytes(b"no picture")
    (folder / "cut.png").write_bytes((folder / "a" / "0.png").read_bytes()[:40])
    data = ImageFolder(folder, count=10, size=16)
    assert sorted(names(data)) == [str(i) for i in range(10)]


def test_the_warning_counts_and_names(folder, monkeypatch):
    told = []
    monkeypatch.setattr(image_folder, "print_log", lambda text, *rest, **more: told.append(text))
    for i in range(7):
        (folder / f"bad{i}.jpg").write_bytes(b"no picture")
    ImageFolder(folder, count=None, size=16)
    (text,) = told
    assert "7 images" in text
    assert "bad" in text
    assert "and 2 more" in text


def test_fewer_than_asked(folder):
    (folder / "bad.jpg").write_bytes(b"no picture")
    with pytest.raises(UsageError, match=r"holds 10 images .* 11 are wanted.*count=10.*1 could not be read"):
        ImageFolder(folder, count=11, size=16)


def test_nothing_there(tmp_path):
    with pytest.raises(UsageError, match="no such file or folder"):
        ImageFolder(tmp_path / "none")
    with pytest.raises(UsageError, match="no image"):
        ImageFolder(tmp_path)
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    with pytest.raises(UsageError, match="holds 0 images"):
        ImageFolder(tmp_path, count=None)
    with pytest.raises(UsageError, match="count"):
        ImageFolder(tmp_path, count=0)
