import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from densevl.core.drawing.lettering import letter
from densevl.core.drawing.overlay import LEAST_SIDE, MOST_ENTRIES, blend_labels, draw_overlay, write_image
from densevl.core.errors import OutputError, UsageError
from densevl.core.images import read_image
from densevl.core.palette import palette

NAMES = ("sky", "road", "person on a bicycle", "unseen")
COLOURS = ((70, 130, 180), (128, 64, 128), (220, 20, 60), (1, 2, 3))


def example(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture and labels: half sky, a third road, a sixth person."""
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    labels = np.full((height, width), 1)
    labels[:, : width // 2] = 0
    labels[:, width * 5 // 6 :] = 2
    return image, labels


def ink_on_paper(text: str, size: int, ink: tuple[int, int, int] = (32, 33, 36)) -> np.ndarray:
    amount = letter(text, size, 10_000)[..., None] / 255
    return (255 * (1 - amount) + np.array(ink) * amount).astype(np.uint8)


def is_written(picture: np.ndarray, text: str, size: int, ink: tuple[int, int, int] = (32, 33, 36)) -> bool:
    return bool(cv2.matchTemplate(picture, ink_on_paper(text, size, ink), cv2.TM_SQDIFF_NORMED).min() < 1e-3)


def places(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.argwhere((picture == colour).all(2))


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_blending(alpha: float) -> None:
    image, labels = example(20, 30)
    labels[3] = -1
    grey = image @ np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
    muted = 0.3 * image + 0.7 * grey[..., None]
    expected = (1 - alpha) * muted + alpha * np.array(COLOURS)[labels]
    expected[3] = image[3]
    assert np.abs(blend_labels(image, labels, COLOURS, alpha) - expected).max() <= 2


def test_without_legend_the_size_stays_and_borders_have_the_full_colour_smoothed() -> None:
    image, labels = example(20, 30)
    before = image.copy(), labels.copy()
    picture = draw_overlay(image, labels, NAMES, COLOURS, legend=False)
    assert picture.shape == image.shape
    share = np.exp(-0.5 / 0.5**2) / (1 + 2 * np.exp(-0.5 / 0.5**2))  # that a pixel of the line takes from either side
    blend = blend_labels(image, labels, COLOURS, 0.55).astype(float)
    for column, own, other, outer in ((14, 0, 1, 13), (15, 1, 0, 16)):
        line = (1 - 2 * share) * np.array(COLOURS[own]) + share * np.array(COLOURS[other]) + share * blend[:, column]
        assert np.abs(picture[:, column] - line).max() <= 2
        edge = (1 - share) * blend[:, outer] + share * np.array(COLOURS[own])
        assert np.abs(picture[:, outer] - edge).max() <= 2
    np.testing.assert_array_equal(picture[:, :13], blend[:, :13])
    turned = draw_overlay(image.transpose(1, 0, 2).copy(), labels.T, NAMES, COLOURS, legend=False)
    np.testing.assert_array_equal(turned, picture.transpose(1, 0, 2))
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(labels, before[1])


@pytest.mark.parametrize("shape", [(300, 500), (500, 300), (400, 400)])
def test_the_legend_lists_what_is_there_the_largest_first(shape: tuple[int, int]) -> None:
    image, labels = example(*shape)
    picture = draw_overlay(image, labels, NAMES, COLOURS)
    height, width = shape
    bare = draw_overlay(image, labels, NAMES, COLOURS, legend=False)
    named = (picture[:height, :width] != bare).any(2)
    assert named.mean() < 0.03, "all but the names"
    below = picture.shape[0] > height
    assert below == (shape == (300, 500))
    strip = picture[height:] if below else picture[:, width:]
    where = [places(strip, colour) for colour in COLOURS]
    assert [len(found) > 50 for found in where] == [True, True, True, False]
    rank = [(found[:, 1].min() // 60, found[:, 0].min()) for found in where[:3]]  # by column, then by row
    assert rank == sorted(rank)
    size = max(13, round(0.026 * np.sqrt(height * width)))
    for text, share in (("sky", "50 %"), ("road", "33 %"), ("person on a bicycle", "17 %")):
        assert is_written(strip, text, size)
        assert is_written(strip, share, size, ink=(112, 117, 122))
    assert not is_written(strip, "unseen", size)


def rows_and_columns(found: np.ndarray) -> tuple[slice, slice]:
    y, x = np.nonzero(found)
    return slice(y.min(), y.max() + 1), slice(x.min(), x.max() + 1)


def test_names_stand_inside_their_own_areas_where_there_is_room() -> None:
    labels = np.full((400, 600), 1)
    labels[100:300, 50:250] = 0
    labels[180:220, 400:408] = 2  # too narrow for its name
    labels[350:, 300:] = -1
    image = np.random.default_rng(0).integers(0, 256, (400, 600, 3), dtype=np.uint8)
    picture = draw_overlay(image, labels, NAMES, COLOURS)[:400, :600]
    named = (picture != draw_overlay(image, labels, NAMES, COLOURS, legend=False)).any(2)
    assert set(np.unique(labels[named])) == {0, 1}
    for label, text in ((0, "sky"), (1, "road")):
        rows, columns = rows_and_columns(named & (labels == label))
        assert (labels[rows, columns] == label).all()
        ink = letter(text, 13, 200)
        white = (picture[rows, columns] > 200).all(2)
        assert white.sum() >= 0.8 * (ink > 200).sum() > 10
        assert (picture[rows, columns] < 90).all(2).sum() > (ink > 200).sum(), "a dark rim"
    rows, columns = rows_and_columns(named & (labels == 0))
    assert abs((rows.start + rows.stop) / 2 - 200) < 10, "in the middle"
    assert abs((columns.start + columns.stop) / 2 - 150) < 10


@pytest.mark.parametrize("ground", [0, 128, 255])
def test_names_are_read_on_any_ground(ground: int) -> None:
    image = np.full((200, 400, 3), ground, np.uint8)
    picture = draw_overlay(image, np.zeros((200, 400), int), ["tree"], [(ground,) * 3], alpha=1.0)[:200, :400]
    ink = letter("tree", 13, 200)
    assert (picture > 200).all(2).sum() >= 0.8 * (ink > 200).sum() > 10
    assert (picture < 128).all(2).sum() > (ink > 200).sum()


def test_unlabelled_pixels_keep_their_colour_and_are_counted() -> None:
    image, labels = example(300, 500)
    for value in (-1, len(NAMES), 255):
        labels[:30] = value
        picture = draw_overlay(image, labels, NAMES, COLOURS)
        np.testing.assert_array_equal(picture[:28, :500], image[:28])
        assert is_written(picture[300:], "unlabelled", 13, ink=(112, 117, 122))
        assert is_written(picture[300:], "10 %", 13, ink=(112, 117, 122))


@pytest.mark.parametrize("shape", [(64, 64), (1, 1), (32, 48), (100, 10)])
def test_tiny_pictures_are_enlarged_by_a_whole_factor(shape: tuple[int, int]) -> None:
    image, labels = example(*shape)
    picture = draw_overlay(image, labels, NAMES, COLOURS, alpha=0.0)
    assert is_written(picture, NAMES[labels[0, 0]], 13)
    picture = draw_overlay(image, labels, [" "] * len(NAMES), COLOURS, alpha=0.0)  # no names in the areas
    factor = -(-LEAST_SIDE // max(shape))
    height, width = shape[0] * factor, shape[1] * factor
    assert picture.shape[0] >= height
    assert picture.shape[1] >= width
    middle = picture[factor // 2 : height : factor, factor // 2 : width : factor]
    bare = blend_labels(image, labels, COLOURS, 0.0)
    assert (middle == bare).all(2).mean() > 0.79, "all but the borders"


@pytest.mark.parametrize("shape", [(3, 4000), (4000, 3)])
def test_thin_pictures(shape: tuple[int, int]) -> None:
    image, labels = example(*shape)
    picture = draw_overlay(image, labels, NAMES, COLOURS)
    assert picture.shape[0] < 4500
    assert picture.shape[1] < 4500
    assert is_written(picture, "road", 13)


def test_many_classes() -> None:
    labels = np.repeat(np.arange(50), 12)[:, None].repeat(800, axis=1)
    labels[:120] = 7
    names = [f"kind {i}" for i in range(50)]
    picture = draw_overlay(np.full((*labels.shape, 3), 99, np.uint8), labels, names, palette(50))
    strip, size = picture[600:], round(0.026 * np.sqrt(labels.size))
    present = [7, *range(10, 50)]
    for label in present[: MOST_ENTRIES - 1]:
        assert is_written(strip, f"kind {label}", size)
    assert not is_written(strip, "kind 49", size)
    assert is_written(strip, f"+ {len(present) - MOST_ENTRIES + 1} more", size, ink=(112, 117, 122))


def test_exactly_as_many_classes_as_fit() -> None:
    labels = np.repeat(np.arange(MOST_ENTRIES), 20)[:, None].repeat(800, axis=1)
    names = [f"kind {i}" for i in range(MOST_ENTRIES)]
    picture = draw_overlay(np.full((*labels.shape, 3), 99, np.uint8), labels, names, palette(MOST_ENTRIES))
    assert is_written(picture[600:], f"kind {MOST_ENTRIES - 1}", round(0.026 * np.sqrt(labels.size)))


@pytest.mark.parametrize("name", ["the " * 75, "w" * 300, "猫" * 300, "a\x07b"])
@pytest.mark.parametrize("shape", [(200, 320), (320, 200)])
def test_difficult_names(name: str, shape: tuple[int, int]) -> None:
    image, labels = example(*shape)
    picture = draw_overlay(image, labels, (name, *NAMES[1:]), COLOURS)
    assert max(picture.shape) < 900
    assert is_written(picture, "road", 13)
    assert is_written(picture, "50 %", 13, ink=(112, 117, 122))


def test_small_shares() -> None:
    labels = np.zeros((500, 1000), int)
    labels[0, :30] = 1  # 0.006 %
    labels[1, :] = 2  # 0.2 %
    image = np.full((500, 1000, 3), 60, np.uint8)
    picture = draw_overlay(image, labels, NAMES, COLOURS)[500:]
    for share in ("100 %", "< 0.1 %", "0.2 %"):
        assert is_written(picture, share, 18, ink=(112, 117, 122))


def test_a_real_photo_with_its_labels(shared: Path) -> None:
    image = read_image(next((shared / "data/ade").rglob("images/**/*.jpg")))
    labels = np.array(Image.open(next((shared / "data/ade").rglob("annotations/**/*.png")))).astype(int) - 1
    if labels.shape != image.shape[:2]:
        labels = cv2.resize(labels.astype(np.int32), image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    picture = draw_overlay(image, labels, [f"class {i}" for i in range(150)], palette(150))
    assert picture.shape[0] > image.shape[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.zeros((4, 5), int)}, r"labels have size \(4, 5\)"),
        ({"names": ["sky"]}, "1 names and 4 colours"),
        ({"alpha": 1.5}, "alpha must lie between 0 and 1; got 1.5"),
    ],
)
def test_arguments_that_disagree(change: dict[str, object], message: str) -> None:
    image, labels = example(4, 6)
    arguments = {"image": image, "labels": labels, "names": NAMES, "palette": COLOURS, **change}
    with pytest.raises(UsageError, match=message):
        draw_overlay(**arguments)


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".jpg"])
def test_write_image(tmp_path: Path, suffix: str) -> None:
    image = cv2.resize(example(5, 6)[0], (60, 50), interpolation=cv2.INTER_CUBIC)
    write_image(tmp_path / "a" / f"x{suffix}", image)
    back = read_image(tmp_path / "a" / f"x{suffix}")
    assert np.abs(back.astype(int) - image).max() <= (0 if suffix.lower() == ".png" else 60)
    assert np.abs(back.astype(int) - image).mean() < 4, "red stays red"
    assert os.listdir(tmp_path / "a") == [f"x{suffix}"]


def test_write_image_refuses(tmp_path: Path) -> None:
    image = example(5, 6)[0]
    for name in ("x.docx", "x"):
        with pytest.raises(UsageError, match=r"use \.png or \.jpg"):
            write_image(tmp_path / name, image)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        write_image(tmp_path / "file" / "x.png", image)
