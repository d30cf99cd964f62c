import numpy as np
import pytest

from densevl.core.masks import decode_masks, mask_of

SQUARE = [1.0, 1, 6, 1, 6, 6, 1, 6]
OVERLAPPING = [4.0, 4, 9, 4, 9, 9, 4, 9]


def pixels(code) -> np.ndarray:
    return decode_masks([code], tuple(code["size"]))[0].numpy()


def test_the_mask_is_the_union_of_the_polygons():
    parts = [pixels(mask_of([polygon], (10, 12))) for polygon in (SQUARE, OVERLAPPING)]
    both = pixels(mask_of([SQUARE, OVERLAPPING], (10, 12)))
    assert (parts[0] & parts[1]).sum() == 4
    assert (both == (parts[0] | parts[1])).all()
    assert both.sum() == 25 + 25 - 4


def test_run_length_codes_of_both_kinds():
    mask = pixels(mask_of([SQUARE], (10, 12)))
    runs, counts = mask.T.ravel(), []
    last, length = False, 0
    for value in runs:
        if value != last:
            counts.append(length)
            last, length = value, 0
        length += 1
    plain = {"size": [10, 12], "counts": [*counts, length]}
    assert (pixels(mask_of(plain, (10, 12))) == mask).all()
    assert mask_of(mask_of(plain, (10, 12)), (10, 12)) == mask_of([SQUARE], (10, 12))


def test_nothing_to_make_a_mask_of():
    assert mask_of([], (10, 12)) is None
    assert mask_of(None, (10, 12)) is None
    assert mask_of([SQUARE], None) is None


@pytest.mark.parametrize("wrong", [[[1, 2, 3, 4]], [[1, 2, 3, 4, 5, 6, 7]], {"size": [3, 3], "counts": "0"}])
def test_what_is_no_mask(wrong):
    with pytest.raises(ValueError, match=r"polygon|size"):
        mask_of(wrong, (10, 12))
