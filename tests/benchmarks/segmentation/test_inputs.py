"""The images of any pipeline and data preprocessor become what they were."""

import numpy as np
import pytest
import torch
from mmengine.model import BaseDataPreprocessor, ImgDataPreprocessor
from mmseg.models import SegDataPreProcessor
from mmseg.structures import SegDataSample

from densevl.benchmarks.segmentation.inputs import KeepImages, Preprocessing, build_preprocessor
from densevl.core.errors import UsageError

RGB = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 20, 31), np.uint8))
CLIP = {"mean": [122.77, 116.75, 104.09], "std": [68.5, 66.63, 70.32]}


BGR = RGB.flip(0)


def restored(preprocessor, image=BGR, channel_order="bgr"):
    """The image of a batch after a data preprocessor, undone."""
    sample = SegDataSample(metainfo={"img_shape": tuple(image.shape[1:]), "img_path": "a.png"})
    data = preprocessor({"inputs": [image], "data_samples": [sample]}, False)
    return Preprocessing.of(preprocessor, channel_order).undo(data["inputs"][0], data["data_samples"][0])


@pytest.mark.parametrize(
    "preprocessor",
    [
        KeepImages(),
        BaseDataPreprocessor(),
        ImgDataPreprocessor(bgr_to_rgb=True, pad_size_divisor=16),
        SegDataPreProcessor(),
        SegDataPreProcessor(bgr_to_rgb=True),
        SegDataPreProcessor(**CLIP),
        SegDataPreProcessor(**CLIP, bgr_to_rgb=True),
        SegDataPreProcessor(**CLIP, bgr_to_rgb=True, pad_val=9, test_cfg={"size": (64, 48)}),
        SegDataPreProcessor(mean=[127.5], std=[127.5], test_cfg={"size_divisor": 32}),
    ],
    ids=lambda one: type(one).__name__,
)
def test_whatever_was_done_is_undone_to_the_byte(preprocessor):
    assert torch.equal(restored(preprocessor), RGB)


def test_a_pipeline_of_rgb_images():
    assert torch.equal(restored(KeepImages(), RGB, "rgb"), RGB)
    assert torch.equal(restored(SegDataPreProcessor(**CLIP, rgb_to_bgr=True), RGB, "rgb"), RGB)
    with pytest.raises(UsageError, match="channel_order must be one of bgr, rgb; got 'gbr'"):
        Preprocessing.of(KeepImages(), "gbr")


def test_floats_on_the_scale_of_bytes_are_bytes():
    assert torch.equal(restored(KeepImages(), RGB.flip(0).float()), RGB)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (RGB / 255, r"a\.png comes with values from 0 to 1, where 0 to 255 is expected"),
        ((RGB - 120.0) / 60, "leave transforms such as Normalize out of the pipeline"),
        (RGB[:1], "comes with 1 channels; a model of densevl takes 3"),
        (torch.full((3, 2, 2), float("nan")), "values from nan"),
    ],
)
def test_images_of_another_scale_are_refused(image, message):
    with pytest.raises(UsageError, match=message):
        restored(KeepImages(), image)


def test_a_preprocessor_of_which_nothing_is_known_is_refused():
    class Own(SegDataPreProcessor):
        pass

    with pytest.raises(UsageError, match=r"data_preprocessor Own is none of .*SegDataPreProcessor"):
        Preprocessing.of(Own())


def test_a_preprocessor_is_built_from_its_config():
    built = build_preprocessor({"type": "SegDataPreProcessor", "bgr_to_rgb": True, **CLIP})
    assert isinstance(built, SegDataPreProcessor)
    assert build_preprocessor(built) is built
    assert isinstance(build_preprocessor(None), KeepImages)
    for config in ({"type": "SegDataPreProcessor", "mean": [1.0]}, {"type": "NoSuchPreprocessor"}):
        with pytest.raises(UsageError, match=r"data_preprocessor .* cannot be built"):
            build_preprocessor(config)
