"""PNG files of whole numbers, read by two decoders."""

from io import BytesIO

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from densevl.core.png import png_of

SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))


@given(st.sampled_from([np.uint8, np.uint16]).flatmap(lambda dtype: arrays.arrays(dtype, SIZES)))
def test_any_values_come_back(values):
    data = png_of(values)
    assert np.array_equal(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED), values)
    with Image.open(BytesIO(data)) as image:
        image.verify()  # the sums of its parts
    assert np.array_equal(np.array(Image.open(BytesIO(data))), values)


@pytest.mark.parametrize("turned", [lambda v: v, lambda v: v.T, lambda v: v[::2, ::-1]])
def test_values_may_lie_in_any_order(turned):
    values = turned(np.arange(600, dtype=np.uint16).reshape(20, 30))
    assert np.array_equal(np.array(Image.open(BytesIO(png_of(values)))), values)


def test_palettes_and_texts():
    values, colours = np.arange(3, dtype=np.uint8)[None], np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], np.uint8)
    image = Image.open(BytesIO(png_of(values, colours, {"Unlabelled": "255"})))
    assert image.mode == "P"
    assert np.array_equal(np.array(image.convert("RGB"))[0], colours)
    assert image.info["Unlabelled"] == "255"
