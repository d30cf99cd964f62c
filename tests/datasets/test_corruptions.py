"""Corrupted images: the same each time, and worse with severity."""

import builtins

import numpy as np
import pytest

from densevl.core.errors import UsageError
from densevl.datasets.corruptions import CORRUPTIONS, chosen_corruptions, corrupt, corruptions_here
from densevl.datasets.scenes import render

QUICK = [name for name in CORRUPTIONS if name != "glass-blur"]  # its first use is compiled for seconds


@pytest.fixture(scope="module")
def image():
    pytest.importorskip("imagecorruptions")
    return render(0, 0, (40, 48), "val").image


@pytest.mark.parametrize("name", [*QUICK, pytest.param("glass-blur", marks=pytest.mark.slow)])
def test_each_is_the_same_each_time_and_worse_with_severity(image, name):
    before, state = image.copy(), np.random.get_state()[1].copy()  # noqa: NPY002
    spoilt = [corrupt(image, name, severity) for severity in (1, 5)]
    assert np.array_equal(image, before)
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002
    assert spoilt[0].shape == image.shape
    assert spoilt[0].dtype == np.uint8
    assert all(one.flags.writeable for one in spoilt)
    assert np.array_equal(corrupt(image, name, 5), spoilt[1])
    changes = [np.abs(one.astype(float) - image).mean() for one in spoilt]
    assert 0 < changes[0] < changes[1]


def test_what_is_drawn_depends_on_the_number_of_the_image(image):
    first, second = (corrupt(image, "gaussian-noise", 3, number) for number in (0, 1))
    assert not np.array_equal(first, second)


def test_names_and_groups():
    assert chosen_corruptions(["digital", "gaussian_noise"]) == (
        "gaussian-noise", "contrast", "pixelate", "jpeg-compression",
    )  # fmt: skip
    assert chosen_corruptions(["all"]) == CORRUPTIONS
    assert "elastic-transform" not in CORRUPTIONS
    for names, message in ((["fogg"], r"corruption 'fogg' is unknown; did you mean fog\?"), ([], "unknown")):
        with pytest.raises(UsageError, match=message):
            chosen_corruptions(names)


def test_what_cannot_be_corrupted_is_said(image):
    with pytest.raises(UsageError, match="31×48 pixels is too small"):
        corrupt(image[:31], "fog", 1)
    with pytest.raises(UsageError, match="severity: 1 to 5; got 6"):
        corrupt(image, "fog", 6)


def test_a_missing_package_is_one_error(monkeypatch):
    real = builtins.__import__

    def refuse(name, *rest):
        if name == "imagecorruptions":
            raise ImportError("No module named 'imagecorruptions'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(UsageError, match=r"imagecorruptions-imaug.*pip install 'densevl\[lenses\]'"):
        corruptions_here()
