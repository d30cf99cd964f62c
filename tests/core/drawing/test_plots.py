"""Plots: well-formed SVG with every mark where its figure says, and nothing of a name read as markup."""

from xml.etree import ElementTree

import numpy as np
import pytest

from densevl.core.drawing.plots import confusion_plot, histogram_plot, reliability_plot

SVG = "{http://www.w3.org/2000/svg}"


def marks(plot, kind):
    root = ElementTree.fromstring(plot)
    return [one for one in root.iter("rect") if one.get("class", "").split()[0] == kind]


def test_bars_are_as_high_as_they_are_right():
    found = reliability_plot(np.array([0.25, np.nan, 0.9]), np.array([0.5, np.nan, 0.6]), np.array([2.0, 0, 6]))
    bars, gaps, counts = (marks(found, kind) for kind in ("bar", "gap", "count"))
    assert len(bars) == len(gaps) == len(counts) == 2
    assert float(bars[0].get("height")) / float(bars[1].get("height")) == pytest.approx(0.5 / 0.6, rel=1e-2)
    assert [gap.get("class") for gap in gaps] == ["gap under", "gap over"]
    assert float(counts[0].get("height")) / float(counts[1].get("height")) == pytest.approx(1 / 3, rel=0.05)
    assert "90 % sure, 60 % right, 75 % of the answers" in found


def test_histograms_of_known_and_unknown():
    found = histogram_plot(np.array([0.1, 0.1, 0.4]), np.array([0.9]), 0.5)
    assert len(marks(found, "known")) == 2
    assert len(marks(found, "unknown")) == 1
    assert "beyond 0.500" in found
    ElementTree.fromstring(histogram_plot(np.zeros(0), np.array([0.5])))


def test_a_matrix_says_what_is_taken_for_what():
    found = confusion_plot(np.array([[3.0, 1], [0, 0]]), ("<b>bolt", "nut & co"))
    assert "&lt;b&gt;bolt taken for nut &amp; co: 25.0 %" in found
    assert len(marks(found, "cell")) == 4 + 2  # an empty cell for each, and two that are filled
    assert "<b>" not in found
