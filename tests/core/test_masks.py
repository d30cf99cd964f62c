"""Run-length codes: there and back, and what is no code."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from densevl.core.errors import UsageError
from densevl.core.masks import decode_masks, encode_masks


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 4), st.integers(1, 20), st.integers(1, 20), st.integers(0, 2), st.integers(0, 999))
def test_there_and_back(count, height, width, density, seed):
    noise = torch.rand(count, height, width, generator=torch.Generator().manual_seed(seed))
    masks = noise < density / 2  # empty, half and full
    codes = encode_masks(masks)
    assert len(codes) == count
    assert torch.equal(decode_masks(codes, (height, width)), masks)


def test_a_code_is_what_coco_writes():
    mask = torch.zeros(1, 2, 3, dtype=torch.bool)
    mask[0, 1, 0] = mask[0, 0, 2] = True
    from pycocotools import mask as coco

    theirs = coco.frPyObjects({"size": [2, 3], "counts": [1, 1, 2, 1, 1]}, 2, 3)  # column by column
    assert encode_masks(mask)[0]["counts"] == theirs["counts"].decode()


@pytest.mark.parametrize("counts", ["", "abc", "zzzzzzzz", "0", "é", " ", "P1"])
def test_what_is_no_code(counts):
    with pytest.raises(UsageError, match="no run-length code of 4 x 5"):
        decode_masks([{"size": [4, 5], "counts": counts}], (4, 5))


def test_a_mask_of_another_size():
    codes = encode_masks(torch.ones(1, 3, 3, dtype=torch.bool))
    with pytest.raises(UsageError, match=r"mask 0 has size \[3, 3\]; expected \[4, 5\]"):
        decode_masks(codes, (4, 5))
