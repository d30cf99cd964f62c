"""What is asked of images with boxes, worked out by hand."""

import torch

from densevl.training.probing.targets import MOST, STEPS, KnownImage, targets_of


def image(*things):
    boxes = torch.tensor([box for box, _ in things], dtype=torch.float32).reshape(-1, 4)
    return KnownImage(boxes, torch.tensor([label for _, label in things], dtype=torch.long))


SOME = [
    image(((0.05, 0.1, 0.3, 0.3), 1), ((0.4, 0.7, 0.6, 0.9), 0)),
    image(),
    image(*[((0.0, 0.0, 1.0, 1.0), 2)] * 7),
]


def test_presence_and_counts():
    found = targets_of(SOME, 3, 3)
    assert found.presence.tolist() == [[True, True, False], [False] * 3, [False, False, True]]
    assert found.number.tolist() == [2, 0, MOST]


def test_places():
    found = targets_of(SOME, 3, 3).localisation.unflatten(1, (3, 3))
    assert found[0, :, :, 1].nonzero().tolist() == [[0, 0]]
    assert found[0, :, :, 0].nonzero().tolist() == [[2, 1]]
    assert found[1].sum() == 0
    assert found[2, :, :, 2].all()  # a thing that fills the image is in every cell


def test_a_thing_between_cells_is_in_those_that_hold_a_quarter_of_it():
    between = image(((0.2, 0.4, 0.4, 0.6), 0))  # 2/3 of it in the first column, 1/3 in the second
    slightly = image(((0.1, 0.4, 0.35, 0.6), 0))  # 1/15 of it in the second
    corners = image(((1 / 3 - 0.01, 1 / 3 - 0.01, 1 / 3 + 0.01, 1 / 3 + 0.01), 0))
    found = targets_of([between, slightly, corners], 1, 3).localisation[..., 0].unflatten(1, (3, 3))
    assert found[0].nonzero().tolist() == [[1, 0], [1, 1]]
    assert found[1].nonzero().tolist() == [[1, 0]]
    assert found[2].sum() == 4
    long = image(((0.0, 0.5, 1.0, 0.51), 0))  # a third of its length in each of three cells
    assert targets_of([long], 1, 3).localisation.sum() == 3


def test_free_space_ends_at_the_first_thing_from_the_foot():
    found = targets_of(SOME, 3, 3).free
    assert found[0].tolist() == [int(0.7 * STEPS), int(0.1 * STEPS), STEPS]
    assert found[1].tolist() == [STEPS] * 3
    assert found[2].tolist() == [0] * 3
