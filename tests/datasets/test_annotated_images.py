"""Samples of annotated images: what can be used, and what cannot."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from densevl.datasets.annotated_images import AnnotatedImages


@dataclass
class Entry:
    file_name: str
    size: tuple[int, int] | None = None


class Named(AnnotatedImages):
    """Images whose annotation is their place."""

    def __init__(self, *images):
        self.images = images

    def annotations(self, index):
        return {"place": index}


def test_a_sample_is_the_image_and_its_annotations(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    dataset = Named(Entry("none.png"), Entry(str(tmp_path / "a.png"), (4, 6)))
    assert len(dataset) == 2
    sample = dataset[1]
    assert np.array_equal(sample["inputs"].permute(1, 2, 0).numpy(), pixels)
    found = sample["data_samples"]
    assert (found.sample_idx, found.img_path, found.place) == (1, str(tmp_path / "a.png"), 1)
    assert "failure" not in found


def test_an_image_that_cannot_be_used_keeps_its_annotations_and_says_why(tmp_path):
    Image.new("RGB", (6, 4)).save(tmp_path / "a.png")
    dataset = Named(Entry(str(tmp_path / "none.png")), Entry(str(tmp_path / "a.png"), (6, 4)))
    for index, reason in enumerate(("no such file", "has (4, 6) pixels, the annotations say (6, 4)")):
        sample = dataset[index]
        assert sample["inputs"].shape == (3, 0, 0)
        assert reason in sample["data_samples"].failure
        assert sample["data_samples"].place == index
