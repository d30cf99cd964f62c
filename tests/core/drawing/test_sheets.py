import numpy as np
import pytest

from densevl.core.drawing.sheets import GAP, Tile, beside, contact_sheet, tile_sheet
from densevl.core.errors import UsageError


def flat(height: int, width: int, colour: tuple[int, int, int]) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


ROWS = {
    "crop": [flat(40, 40, (255, 0, 0)), flat(40, 40, (0, 255, 0))],
    "blur_mask": [flat(300, 400, (0, 0, 255)), flat(300, 400, (255, 255, 0))],
}


def test_every_picture_is_on_the_sheet_at_one_height_in_its_row_and_column():
    sheet = contact_sheet(ROWS, ["region 3", "region 0"], side=60)
    boxes = []
    for pictures in ROWS.values():
        for picture in pictures:
            y, x = np.nonzero((sheet == picture[0, 0]).all(-1))
            assert len(y) == 60 * round(60 * picture.shape[1] / picture.shape[0])
            boxes.append((y.min(), x.min(), y.max() + 1, x.max() + 1))
    (a, b), (c, d) = boxes[:2], boxes[2:]
    assert a[0] == b[0] < c[0] == d[0] == a[2] + GAP
    assert a[1] + a[3] == c[1] + c[3]  # columns are centred
    assert c[3] + GAP == d[1]


def test_names_are_written_beside_and_above():
    sheet = contact_sheet(ROWS, ["one", "two"], side=60)
    plain = contact_sheet({" ": ROWS["crop"], "  ": ROWS["blur_mask"]}, [" ", " "], side=60)
    assert (sheet < 128).all(-1).sum() > 30
    assert not (plain < 128).all(-1).any()
    longer = contact_sheet({"a very long name of a row": ROWS["crop"], "x": ROWS["blur_mask"]}, ["one", "two"], side=60)
    assert longer.shape[1] > sheet.shape[1]


def test_what_does_not_fit_a_table():
    with pytest.raises(UsageError, match="2 pictures for 1 columns"):
        contact_sheet(ROWS, ["one"])
    with pytest.raises(UsageError, match="at least one"):
        contact_sheet({}, [])


def test_tiles_stand_in_rows_with_their_captions():
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    tiles = [Tile(flat(50, 50, colour), f"{rank}", "a.png") for rank, colour in enumerate(colours)]
    sheet = tile_sheet(tiles, "red ring", "14 regions", columns=2)
    corners = []
    for colour in colours:
        y, x = np.nonzero((sheet == colour).all(-1))
        assert len(y) == 50 * 50
        corners.append((y.min(), x.min()))
    assert corners[0][0] == corners[1][0] < corners[2][0] - 50
    assert corners[0][1] == corners[2][1] < corners[1][1] - 50
    below = sheet[corners[0][0] + 50 : corners[2][0], corners[0][1] : corners[0][1] + 50]
    assert (below < 160).all(-1).any(), "captions"
    silent = tile_sheet([Tile(tile.picture, " ") for tile in tiles], " ", columns=2)
    assert not (silent < 100).all(-1).any()


def test_a_sheet_without_tiles_is_its_title():
    sheet = tile_sheet([], "nothing found")
    assert sheet.shape[0] < 120
    assert (sheet < 128).all(-1).sum() > 100


def test_pictures_beside_each_other():
    one, two = flat(20, 30, (255, 0, 0)), flat(40, 10, (0, 0, 255))
    row = beside([one, two], gap=5)
    assert row.shape == (40, 45, 3)
    np.testing.assert_array_equal(row[:20, :30], one)
    np.testing.assert_array_equal(row[:, 35:], two)
    assert (row[20:, :30] == 255).all()
    assert (row[:, 30:35] == 255).all()
    np.testing.assert_array_equal(beside([two]), two)
