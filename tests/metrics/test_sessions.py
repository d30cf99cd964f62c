"""Figures of learning in sessions, on answers that can be counted by hand."""

from math import isnan, nan

import pytest
import torch

from densevl.metrics.sessions import Course, SessionScores, accuracies, accuracy, recalls


def test_accuracies_are_those_of_the_classes_of_each_session():
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    logits = torch.eye(3)[torch.tensor([0, 1, 1, 1, 0, 0])]
    assert accuracies(logits, labels, torch.tensor([0, 0, 1]), 2) == (0.75, 0.0)
    assert accuracy(logits, labels) == 0.5
    assert isnan(accuracies(logits[:4], labels[:4], torch.tensor([0, 0, 1]), 2)[1])


def test_old_new_and_seen_weigh_examples():
    found = SessionScores((0.5, 1.0, 0.25), (10, 30, 4))
    assert found.new == 0.25
    assert found.old == pytest.approx((0.5 * 10 + 1.0 * 30) / 40)
    assert found.seen == pytest.approx((5 + 30 + 1) / 44)
    assert isnan(SessionScores((0.5,), (10,)).old)


def test_the_drop_is_from_right_after_a_session_to_the_end():
    course = Course(
        [
            SessionScores((0.9,), (10,)),
            SessionScores((0.8, 0.7), (10, 20)),
            SessionScores((0.5, 0.6, 1.0), (10, 20, 30)),
        ]
    )
    assert course.drop == pytest.approx((0.4 * 10 + 0.1 * 20) / 30)
    assert course.new == pytest.approx((0.9 * 10 + 0.7 * 20 + 1.0 * 30) / 60)
    assert isnan(Course(course.scores[:1]).drop)


def test_scores_come_back_from_their_file():
    found = SessionScores((0.5, nan), (10, 0), 0.25, nan, 0.75)
    values = found.as_dict()
    assert values["each"] == [0.5, None]
    assert values["image_to_text"] is None
    assert values["old"] == 0.5
    back = SessionScores.from_dict(values)
    assert back.as_dict() == values
    assert back.text_to_image == 0.75


def test_recalls_of_both_directions():
    cosines = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
    to_text, to_image = recalls(cosines, torch.tensor([0, 1, 1]))
    assert to_text == pytest.approx(2 / 3)
    assert to_image == 1.0
    assert all(map(isnan, recalls(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long))))


def test_lines_say_what_is_not_there_with_a_dash():
    lines = Course([SessionScores((0.5,), (10,)), SessionScores((0.25, 1.0), (10, 10), 0.5)]).lines("cpe-clip")
    assert lines[0].split() == ["cpe-clip", "old", "new", "never-seen", "image", "to", "text", "text", "to", "image"]
    assert lines[1].split() == ["after", "session", "1", "–", "50.00", "–", "–", "–"]
    assert lines[2].split() == ["after", "session", "2", "25.00", "100.00", "50.00", "–", "–"]
    assert lines[3] == "  new 75.00, of which 25.00 are lost"
