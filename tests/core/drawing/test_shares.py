"""Bars of shares."""

import numpy as np

from densevl.core.drawing.shares import BAR, COLOURS, ROOM, WIDTH, draw_shares


def test_parts_are_as_long_as_their_shares():
    image = draw_shares({"a": {"one": 0.75, "two": 0.25}, "b": {"one": 0.25, "two": 0.75}}, "Parts")
    assert image.shape == (ROOM + 2 * BAR, WIDTH, 3)
    first, second = ((np.abs(image / 255 - colour).max(-1) < 0.02).sum() for colour in COLOURS[:2])
    assert first == np.clip(first, 0.9 * second, 1.1 * second)
    rows = np.flatnonzero((np.abs(image / 255 - COLOURS[0]).max(-1) < 0.02).any(1))
    top, bottom = (image[rows[int(len(rows) * at)]] / 255 for at in (0.1, 0.9))
    longer, shorter = ((np.abs(row - COLOURS[0]).max(-1) < 0.02).sum() for row in (top, bottom))
    assert longer > 2 * shorter
