"""Examples of files as masks."""

import numpy as np
import pytest
import torch
from PIL import Image

from densevl.core.errors import UsageError
from densevl.datasets.examples import Example
from densevl.tasks.teaching.example_masks import ExampleMasks, mask_of_example


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path, side in zip(paths, (20, 30), strict=True):
        Image.fromarray(np.full((10, side, 3), 90, np.uint8)).save(path)
    return paths


def test_boxes_points_and_masks_are_pixels(files):
    box = mask_of_example(Example(files[0], "dent", box=(2.2, 3, 5.6, 7)), (10, 20))
    assert box.nonzero().amin(0).tolist() == [3, 2]
    assert box.nonzero().amax(0).tolist() == [6, 5]
    assert mask_of_example(Example(files[0], "dent", box=(2.2, 3, 2.4, 3.1)), (10, 20)).nonzero().tolist() == [[3, 2]]
    assert mask_of_example(Example(files[0], "dent", point=(4.9, 9.2)), (10, 20)).nonzero().tolist() == [[9, 4]]
    polygon = mask_of_example(Example(files[0], "dent", mask=((1, 1, 8, 1, 8, 6, 1, 6),)), (10, 20))
    assert 30 < polygon.sum() < 50
    assert mask_of_example(Example(files[0], "dent"), (10, 20)).all()
    with pytest.raises(UsageError, match="lies outside the image"):
        mask_of_example(Example(files[0], "dent", point=(4.0, 10.0)), (10, 20))


def test_images_come_once_with_all_of_their_masks(files):
    a, b = files
    examples = [Example(a, "dent", point=(1.0, 1.0)), Example(b, "paint"), Example(a, "paint", point=(2.0, 2.0))]
    found = ExampleMasks(examples, [0, 1, 1])
    assert len(found) == 2
    assert [one.image.shape[1] for one in found] == [20, 30]
    assert found[0].labels.tolist() == [0, 1]
    assert found[0].masks.nonzero().tolist() == [[0, 1, 1], [1, 2, 2]]
    assert torch.equal(found[1].masks, torch.ones(1, 10, 30, dtype=torch.bool))
    assert [one.labels.tolist() for one in found[1:]] == [[1]]
