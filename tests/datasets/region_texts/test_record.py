"""Records: what they refuse, and what they are as plain values."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from densevl.core.errors import ImageError, UsageError
from densevl.core.images import encoded_size, is_upright
from densevl.datasets.region_texts import RegionText, RegionTextRecord


def test_a_record_is_what_its_plain_values_say(records):
    for record in records:
        assert RegionTextRecord.from_dict(json.loads(json.dumps(record.as_dict())), record.image) == record


@pytest.mark.parametrize("box", [(0, 0, 0, 5), (5, 0, 1, 5), (0, 0, float("nan"), 1), (0, 0, float("inf"), 1)])
def test_a_box_that_cannot_be_meant_is_refused(box):
    with pytest.raises(UsageError, match="a box is"):
        RegionText(box, "dog")


def test_a_box_without_words_is_refused():
    with pytest.raises(UsageError, match="no text"):
        RegionText((0, 0, 1, 1), " ")


@pytest.mark.parametrize("content", [{}, {"regions": 3}, {"regions": [{"box": [0, 0, 1, 1]}]}, {"regions": [[]]}])
def test_what_is_no_record_says_so(content):
    with pytest.raises(UsageError, match="no record of region texts"):
        RegionTextRecord.from_dict(content, b"")


def test_the_picture_is_upright_from_bytes_and_from_a_file(tmp_path):
    pixels = np.zeros((10, 20, 3), np.uint8)
    pixels[:, :5] = 255
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    Image.fromarray(pixels).save(file, "png", exif=exif)
    assert encoded_size(file.getvalue()) == (20, 10)
    assert not is_upright(file.getvalue())
    (tmp_path / "a.png").write_bytes(file.getvalue())
    turned = np.rot90(pixels, -1)
    for image in (file.getvalue(), tmp_path / "a.png"):
        assert np.array_equal(RegionTextRecord("a", image, (20, 10)).read_image(), turned)


def test_a_picture_that_is_none_says_whose_it_is():
    with pytest.raises(ImageError, match="the image of day1/cat"):
        RegionTextRecord("day1/cat", b"no picture at all", (1, 1)).read_image()
