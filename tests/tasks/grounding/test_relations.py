"""Relations and superlatives against loops over all pairs of boxes."""

import numpy as np
import pytest
import torch

from densevl.tasks.grounding.expression import parse_expression
from densevl.tasks.grounding.relations import REACH, RELATIONS, between, gaps, nearness, resolve


def boxes_of(seed, count=6, side=100):
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, side - 30, (count, 2))
    return torch.tensor(np.concatenate([corner, corner + rng.integers(3, 30, (count, 2))], 1), dtype=torch.float64)


def centre(box):
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def area(box):
    return max(0, box[2] - box[0]) * max(0, box[3] - box[1])


def share(a, b):
    common = max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])
    return area(common) / area(a) if common[2] > common[0] and common[3] > common[1] else 0


BRUTE = {
    "left": lambda a, b: float(centre(a)[0] < centre(b)[0]),
    "right": lambda a, b: float(centre(a)[0] > centre(b)[0]),
    "above": lambda a, b: float(centre(a)[1] < centre(b)[1]),
    "below": lambda a, b: float(centre(a)[1] > centre(b)[1]),
    "bigger": lambda a, b: float(area(a) > area(b)),
    "smaller": lambda a, b: float(area(a) < area(b)),
    "taller": lambda a, b: float(a[3] - a[1] > b[3] - b[1]),
    "shorter": lambda a, b: float(a[3] - a[1] < b[3] - b[1]),
    "wider": lambda a, b: float(a[2] - a[0] > b[2] - b[0]),
    "narrower": lambda a, b: float(a[2] - a[0] < b[2] - b[0]),
    "inside": share,
}


@pytest.mark.parametrize("kind", BRUTE)
def test_relations_are_what_a_loop_over_pairs_gives(kind):
    for seed in range(4):
        boxes = boxes_of(seed)
        found = RELATIONS[kind](boxes)
        rows = boxes.tolist()
        for i, a in enumerate(rows):
            for j, b in enumerate(rows):
                assert found[i, j] == pytest.approx(0 if i == j else BRUTE[kind](a, b))


def test_the_middle_is_counted_along_the_longer_spread():
    boxes = torch.tensor([[0.0, 0, 10, 10], [45, 20, 55, 30], [90, 5, 100, 15]])
    assert RELATIONS["middle"](boxes)[1].tolist() == [1, 0, 1]
    assert RELATIONS["middle"](boxes[:, [1, 0, 3, 2]])[1].tolist() == [1, 0, 1]


def test_gaps_are_the_shortest_lines_between_pixels_of_boxes():
    boxes = boxes_of(4)
    found = gaps(boxes)
    for i, a in enumerate(boxes.tolist()):
        for j, b in enumerate(boxes.tolist()):
            # Each box as a fine grid of points with its corners among them.
            first, second = (
                np.stack(np.meshgrid(np.arange(x0, x1 + 1), np.arange(y0, y1 + 1)), -1).reshape(-1, 2)
                for x0, y0, x1, y1 in (a, b)
            )
            lines = np.linalg.norm(first[:, None] - second[None], axis=-1)
            assert found[i, j] == pytest.approx(lines.min())


@pytest.mark.parametrize("far", [False, True])
def test_nearness_is_what_three_loops_give(far):
    boxes = boxes_of(9, count=7)
    boxes[3] = boxes[1]  # as near to everything
    gap = gaps(boxes) / 140
    first, second = torch.rand(2, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = torch.zeros(7, dtype=torch.float64)
    g, n = gap.tolist(), range(7)
    for i in n:
        for j in n:
            if i != j:
                others = [k for k in n if k not in (i, j)]
                beaten = [k for k in others if (g[k][j] <= g[i][j] if far else g[k][j] >= g[i][j])]
                fraction = sum(float(first[k]) for k in beaten) / sum(float(first[k]) for k in others)
                degree = np.exp(-g[i][j] / REACH)
                expected[i] += second[j] * (1 - degree if far else degree) * fraction
    torch.testing.assert_close(nearness(gap, first, second, far), expected)


def test_the_nearest_and_the_farthest_of_those_that_suit_the_words():
    boxes = torch.tensor([[0.0, 0, 10, 10], [13, 14, 20, 20], [80, 0, 90, 10], [9, 9, 12, 12]], dtype=torch.float64)
    ask = {"cup": torch.tensor([0.0, 0.5, 0.5, 0.0]), "plate": torch.tensor([1.0, 0.0, 0.0, 0.0])}
    for text, best in (("the cup next to the plate", 1), ("the cup farthest from the plate", 2)):
        found = resolve(parse_expression(text), boxes, ask.get, (60, 80)).probabilities
        assert found[best] == pytest.approx(1)
    lone = {**ask, "cup": torch.tensor([0.0, 0.0, 1.0, 0.0])}
    step = resolve(parse_expression("the cup near the plate"), boxes, lone.get, (60, 80)).steps[-1]
    assert step.fulfilled == pytest.approx(np.exp(-0.7 / REACH)), "a diagonal of 100 pixels, 70 of them between the two"


def test_without_a_size_the_boxes_span_the_image():
    boxes, ask = boxes_of(3), asker(6)
    phrase = parse_expression("the dog near the cat")
    width, height = (boxes[:, 2:].max(0).values - boxes[:, :2].min(0).values).tolist()
    expected = resolve(phrase, boxes, ask, (int(height), int(width))).probabilities
    torch.testing.assert_close(resolve(phrase, boxes, ask).probabilities, expected)


def test_between_is_what_three_loops_give():
    boxes = boxes_of(9, count=5)
    first, second = torch.rand(2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = torch.zeros(5, dtype=torch.float64)
    rows = boxes.tolist()
    for i, a in enumerate(rows):
        for j, b in enumerate(rows):
            for k, c in enumerate(rows):
                if len({i, j, k}) == 3:
                    around = min(b[0], c[0]), min(b[1], c[1]), max(b[2], c[2]), max(b[3], c[3])
                    expected[i] += first[j] * second[k] * share(a, around)
    torch.testing.assert_close(between(boxes, first, second), expected)


def asker(count, seed=0):
    table = {}

    def ask(text):
        if text not in table:
            generator = torch.Generator().manual_seed(seed + len(table))
            table[text] = torch.rand(count, dtype=torch.float64, generator=generator).softmax(0)
        return table[text]

    return ask


def test_a_nested_expression_is_what_the_formulas_give():
    boxes, ask = boxes_of(3), asker(6)
    got = resolve(parse_expression("the largest dog left of the cat under the lamp"), boxes, ask)
    rows = boxes.tolist()
    n = range(6)
    lamp, cat, dog = (ask(text).tolist() for text in ("lamp", "cat", "dog"))
    cat = [cat[i] * sum(lamp[j] * BRUTE["below"](rows[i], rows[j]) for j in n) for i in n]
    cat = [value / sum(cat) for value in cat]
    dog = [dog[i] * sum(cat[j] * BRUTE["left"](rows[i], rows[j]) for j in n) for i in n]
    dog = [value / sum(dog) for value in dog]
    dog = [dog[i] * sum(dog[j] * BRUTE["bigger"](rows[i], rows[j]) for j in n) for i in n]
    torch.testing.assert_close(got.probabilities, torch.tensor(dog, dtype=torch.float64) / sum(dog))
    product = torch.stack([step.factor for step in got.steps]).prod(0)
    torch.testing.assert_close(got.probabilities, product / product.sum())


def test_what_no_box_fulfils_is_left_out_and_said():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 20, 10, 30]])
    ask = asker(2)
    got = resolve(parse_expression("the dog left of the cat"), boxes, ask)
    assert [step.used for step in got.steps] == [True, False]
    assert got.steps[1].fulfilled == 0
    torch.testing.assert_close(got.probabilities, ask("dog"))


def test_counting_from_a_side():
    boxes = torch.tensor([[x, 0.0, x + 5, 5] for x in (40, 10, 30, 20)])

    def ask(text):
        return torch.tensor([0.25, 0.25, 0.25, 0.25])

    for text, expected in (("first dog from the left", 1), ("second dog from the left", 3), ("third from right", 3)):
        assert int(resolve(parse_expression(text), boxes, ask).probabilities.argmax()) == expected
    # One that does not suit the words does not count.
    suits = torch.tensor([0.333, 0.0001, 0.333, 0.333])
    assert (
        int(resolve(parse_expression("second dog from the left"), boxes, lambda text: suits).probabilities.argmax())
        == 2
    )


def test_one_box_and_a_thousand():
    for count in (1, 1000):
        boxes, ask = boxes_of(0, count), asker(count)
        got = resolve(parse_expression("the left dog above the cat"), boxes, ask).probabilities
        assert got.sum() == pytest.approx(1)
        assert got.isfinite().all()
