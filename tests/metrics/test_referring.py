"""Every score against loops that know nothing of arrays."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from densevl.core.errors import UsageError
from densevl.metrics.overlaps import Outcome
from densevl.metrics.referring import ReferringScores

overlaps = st.sampled_from([0.0, 0.3, 0.5, 0.55, 0.6, 0.75, 0.8, 0.9, 0.95, 1.0]) | st.floats(0, 1)


@st.composite
def outcomes(draw):
    ious = draw(st.lists(overlaps, max_size=12))
    shared = draw(st.none() | st.tuples(st.integers(0, 50), st.integers(0, 50)))
    return Outcome(
        kind=draw(st.sampled_from(["", "attribute", "relation"])),
        ranked=tuple(ious[:10]),
        best=max(ious, default=0.0),
        proposals=len(ious),
        above=sum(i > 0.5 for i in ious) / len(ious) if ious else 0.0,
        at_least=sum(i >= 0.5 for i in ious) / len(ious) if ious else 0.0,
        overlap=None if shared is None else (min(shared), max(shared)),
        reason="" if ious else "no proposals",
    )


def enough(iou, threshold, rule):
    return iou > threshold if rule == ">" else iou >= threshold


@settings(deadline=None, max_examples=60)
@given(st.lists(outcomes(), min_size=1, max_size=12), st.sampled_from([">", ">="]))
def test_scores_equal_loops(found, rule):
    scores, count = ReferringScores(found, rule), len(found)

    def share(right):
        return pytest.approx(100 * sum(right) / count)

    for threshold in (0.5, 0.75, 0.9):
        assert scores.accuracy(threshold) == share([enough((o.ranked or (0.0,))[0], threshold, rule) for o in found])
        assert scores.recall(threshold) == share([enough(o.best, threshold, rule) for o in found])
    for rank in (1, 5, 10):
        assert scores.precision_at(rank) == share([any(enough(i, 0.5, rule) for i in o.ranked[:rank]) for o in found])
    steps = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]
    assert scores.mean_accuracy == pytest.approx(sum(scores.accuracy(step) for step in steps) / 10)
    assert scores.chance == share([o.above if rule == ">" else o.at_least for o in found])
    known = [o.overlap for o in found if o.overlap is not None]
    if not known:
        assert scores.mask_scores() == {}
        return
    ious = [i / u if u else 0.0 for i, u in known]
    union = sum(u for _, u in known)
    masks = scores.mask_scores()
    assert masks["mIoU"] == pytest.approx(100 * sum(ious) / len(ious))
    assert masks["oIoU"] == pytest.approx(100 * sum(i for i, _ in known) / union if union else 0.0)
    for threshold in (0.5, 0.6, 0.7, 0.8, 0.9):
        right = [enough(iou, threshold, rule) for iou in ious]
        assert masks[f"mask P@{threshold}"] == pytest.approx(100 * sum(right) / len(ious))


def outcome(*ious, **changes) -> Outcome:
    values = {"kind": "", "ranked": ious, "best": max(ious, default=0.0), "proposals": len(ious), "overlap": None}
    return Outcome(**{**values, "above": 0.0, "at_least": 0.0, **changes})


def test_the_rule_matters_at_the_threshold_and_is_printed():
    found = [outcome(0.5), outcome(0.51), outcome(0.2)]
    strict, loose = ReferringScores(found, ">"), ReferringScores(found, ">=")
    assert (strict.accuracy(), loose.accuracy()) == (pytest.approx(100 / 3), pytest.approx(200 / 3))
    assert "Acc@0.5 33.33  (right: IoU > 0.5, with >= it is 66.67" in strict.lines()[-1]
    assert "Acc@0.5 66.67  (right: IoU >= 0.5, with > it is 33.33" in loose.lines()[-1]
    assert loose.as_dict()["rule"] == "IoU >= threshold"
    with pytest.raises(UsageError, match="rule '==' is unknown"):
        ReferringScores(found, "==")


def test_an_empty_union_counts_0():
    scores = ReferringScores([outcome(1.0, overlap=(0, 0)), outcome(1.0, overlap=(4, 4))])
    assert scores.mask_scores()["mIoU"] == 50
    assert scores.mask_scores()["oIoU"] == 100


def test_what_is_printed_and_kept():
    found = [
        outcome(0.9, 0.1, kind="extreme", overlap=(3, 4)),
        outcome(0.1, 0.9, kind="relation", overlap=(0, 4)),
        outcome(kind="relation", reason="no proposals", overlap=(0, 4)),
    ]
    scores = ReferringScores(found, left_out=7)
    text = "\n".join(scores.lines())
    for shown in (
        "extreme       Acc@0.5 100.00",
        "P@5 66.67",
        "proposal recall@0.9 0.00",
        "mIoU 25.00",
        "no answer, counted as wrong: 1 (no proposals)",
        "left out, their image cannot be used: 7 expressions",
        "3 expressions, 1.3 boxes each",
    ):
        assert shown in text
    saved = json.loads(json.dumps(scores.as_dict(), allow_nan=False))
    assert saved["left_out"] == 7
    assert saved["unanswered"] == {"no proposals": 1}
    assert saved["kinds"]["relation"] == {"expressions": 2, "Acc@0.5": 0.0, "chance": 0.0}
    with pytest.raises(UsageError, match="first 1 to 10"):
        scores.precision_at(11)
