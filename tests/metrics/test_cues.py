"""The share of shape among the answers that follow a cue."""

import numpy as np
import pytest

from densevl.core.errors import UsageError
from densevl.metrics.cues import NEITHER, SECOND, SHAPE, CueScores
from densevl.metrics.intervals import share_interval


def test_answers_of_neither_cue_do_not_count_in_the_share():
    scores = CueScores(np.array([SHAPE, SECOND, SECOND, SECOND, NEITHER, NEITHER]))
    assert (scores.shape, scores.second, scores.share) == (1, 3, 0.25)
    assert scores.interval == share_interval(1, 4)
    assert scores.as_dict()["neither"] == 2


def test_no_share_without_a_decision():
    assert CueScores(np.array([NEITHER])).as_dict()["shape_share"] is None
    with pytest.raises(UsageError, match="no answer"):
        CueScores(np.zeros(0, int))
