"""Run-length codes: there and back, and what is no code."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco

from densevl.core.errors import UsageError
from densevl.core.masks import check_masks, decode_masks, encode_masks, letters_of_runs


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


@settings(max_examples=60, deadline=None)
@given(arrays.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))), st.data())
def test_codes_are_told_from_others_and_written_as_coco_does(mask, data):
    """A code that is refused would be read beyond its end; one that is cut, longer or changed covers other pixels."""
    code = coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    columns = mask.ravel(order="F")
    changes = np.flatnonzero(np.diff(columns, prepend=False))
    runs = np.diff(changes, prepend=0, append=columns.size)
    assert letters_of_runs([runs, runs[:1], runs]) == [code, *letters_of_runs([runs[:1]]), code]
    check_masks([{"size": list(mask.shape), "counts": code}], mask.shape)
    place = data.draw(st.integers(0, len(code) - 1))
    letter = data.draw(st.characters(max_codepoint=255))
    for other in (code[:-1], f"{code}1", f"{code[:place]}{letter}{code[place + 1 :]}"):
        if _runs_of(other, mask.size) is None:
            with pytest.raises(UsageError, match="no run-length code"):
                check_masks([{"size": list(mask.shape), "counts": other}], mask.shape)
            some = [{"size": list(mask.shape), "counts": one} for one in (code, other, code)]
            with pytest.raises(UsageError, match="mask 1 is no run-length code"):
                decode_masks(some, mask.shape)
        else:
            check_masks([{"size": list(mask.shape), "counts": other}], mask.shape)


def _runs_of(code, pixels):
    """The runs of a code, letter by letter; None where it is none of so many pixels."""
    runs, value, shift = [], 0, 0
    for letter in code:
        bits = ord(letter) - 48
        if not 0 <= bits < 64:
            return None
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return runs if shift == 0 and min(runs, default=-1) >= 0 and sum(runs) == pixels else None


def test_a_letter_beyond_ascii_is_in_no_code():
    """It does not stand for "?", the letter of 15, which alone is the code of 15 pixels outside."""
    check_masks([{"size": [3, 5], "counts": "?"}], (3, 5))
    for letter in "\x80ü猫":
        with pytest.raises(UsageError, match="mask 0 is no run-length code"):
            check_masks([{"size": [3, 5], "counts": letter}], (3, 5))
