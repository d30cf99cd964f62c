import pytest
import torch

from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings
from densevl.core.vocabulary import Vocabulary
from densevl.dense.stages.min_area import MinArea


def texts(count, background=None):
    words = tuple((f"class {k}",) for k in range(count))
    return TextEmbeddings(
        torch.eye(count), torch.arange(count), Vocabulary("toy", words, background=background), "toy", "none"
    )


def probabilities(labels, count):
    shown = torch.full((count, *labels.shape), 0.1)
    return shown.scatter(0, labels[None], 0.9)


LABELS = torch.tensor([0] * 50 + [1] * 30 + [2] * 15 + [3] * 5).view(10, 10)
IMAGE = torch.zeros(3, 10, 10)


@pytest.mark.parametrize(
    ("area", "background", "dropped"),
    [
        (0.1, None, [3, 4]),
        (0.09, 0, [4]),  # 5 of the 50 pixels that are not background are a tenth
        (0.1, 0, [3, 4]),  # which must be exceeded
        (0.4, 0, [2, 3, 4]),
        (0.2, None, [2, 3, 4]),
        (0.9, 0, [1, 2, 3, 4]),
        (0.9, None, []),  # no class would be left
        (0.0, None, [4]),
    ],
)
def test_small_classes_are_dropped(area, background, dropped):
    given = probabilities(LABELS, 5)
    found = MinArea(area)(given, IMAGE, texts=texts(5, background))
    given[dropped] = 0
    torch.testing.assert_close(found, given)


def test_background_alone_stays():
    given = probabilities(torch.zeros(10, 10, dtype=torch.int64), 2)
    found = MinArea(0.1)(given, IMAGE, texts=texts(2, background=0))
    torch.testing.assert_close(found[0], given[0])
    assert not found[1].any()


@pytest.mark.parametrize("area", [-0.1, 1.1])
def test_an_area_is_a_share(area):
    with pytest.raises(UsageError, match="between 0 and 1"):
        MinArea(area)
