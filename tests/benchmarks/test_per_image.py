"""What all metrics share, and the opening that all benchmark models share."""

import pytest
import torch
from mmengine.structures import BaseDataElement

from densevl.benchmarks.per_image import PerImageMetric
from densevl.benchmarks.protocols import BenchmarkModel, as_array
from densevl.core.errors import UsageError


class Sum(PerImageMetric):
    """Adds up numbers, and remembers in which order it was given them."""

    def measure(self, sample):
        return sample["number"]

    def weigh(self, sample):
        return sample["number"]

    def score(self, found):
        return found

    def figures(self, scores):
        return {"sum": float(sum(scores))}


def sample(index, number, **more):
    return {"sample_idx": index, "img_path": f"{index}.png", "number": number, **more}


def test_images_are_scored_in_the_order_of_the_data_set_and_from_nothing_each_time():
    metric = Sum()
    for _ in range(2):
        metric.process({}, [sample(2, 0.30001), sample(0, 1)])
        metric.process({}, [sample(1, 2)])
        assert metric.evaluate(3) == {"sum": 3.3}
        assert metric.scores == [1, 2, 0.30001]
        assert metric.failures == metric.lost == []


def test_failures_are_named_and_what_is_lost_with_them_is_counted():
    metric = Sum()
    metric.process({}, [sample(1, 7, failure="gone"), sample(0, 1), sample(2, 5, failure="cut off")])
    assert metric.evaluate(3) == {"sum": 1}
    assert metric.failures == [("1.png", "gone"), ("2.png", "cut off")]
    assert metric.lost == [7, 5]


def test_what_means_nothing_is_refused():
    metric = Sum()
    metric.process({}, [sample(0, 1), sample(0, 1)])
    with pytest.raises(UsageError, match="counted more than once"):
        metric.evaluate(2)
    metric.process({}, [sample(0, 1)])
    with pytest.raises(UsageError, match="1 of the 2 images"):
        metric.evaluate(2)
    metric.process({}, [sample(0, 1, failure="gone")])
    with pytest.raises(UsageError, match=r"none of the 1 images could be used; the first one, 0\.png: gone"):
        metric.evaluate(1)


class Sides(BenchmarkModel):
    """Says how large the pictures are, and how many came together."""

    def answer(self, images, samples):
        for image, one in zip(images, samples, strict=True):
            one.set_field((as_array(image).shape, len(images)), "seen")


def test_models_answer_usable_samples_together_and_pass_failures_on():
    images = [torch.zeros(3, 4, 5, dtype=torch.uint8), torch.zeros(3, 0, 0, dtype=torch.uint8)] * 2
    samples = [BaseDataElement(metainfo={"failure": "gone"} if i % 2 else {}) for i in range(4)]
    found = Sides()(images, samples)
    assert found == samples
    assert [one.get("seen") for one in found] == [((4, 5, 3), 2), None] * 2
    assert Sides()(images[1:2], samples[1:2]) == samples[1:2]
    with pytest.raises(UsageError, match="benchmarks only predict; got mode 'loss'"):
        Sides()(images, samples, mode="loss")
