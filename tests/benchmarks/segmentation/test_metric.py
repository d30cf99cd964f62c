import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.evaluation import IoUMetric
from mmseg.structures import SegDataSample
from PIL import Image

from densevl.benchmarks.segmentation.metric import ConfusionMetric
from densevl.core.errors import UsageError
from densevl.metrics.confusion import scores_of


def samples(count: int, classes: int, seed: int, present: int | None = None) -> list[dict]:
    generator = np.random.default_rng(seed)
    result = []
    for index in range(count):
        size = (1, int(generator.integers(20, 60)), int(generator.integers(20, 60)))
        truth = generator.integers(0, present or classes, size)
        labels = np.where(generator.random(size) < 0.6, truth, generator.integers(0, present or classes, size))
        truth[generator.random(size) < 0.1] = 255
        sample = SegDataSample(metainfo={"sample_idx": index, "img_path": f"{index}.jpg"})
        sample.gt_sem_seg = PixelData(data=torch.from_numpy(truth))
        sample.pred_sem_seg = PixelData(data=torch.from_numpy(labels))
        result.append(sample.to_dict())
    return result


def evaluated(metric, data, meta, batch=3):
    metric.dataset_meta = meta
    for start in range(0, len(data), batch):
        metric.process({}, data[start : start + batch])
    return metric.evaluate(len(data))


@pytest.mark.parametrize(("classes", "present"), [(2, None), (7, None), (150, 60)])
def test_equals_mmsegmentation(classes, present):
    data = samples(8, classes, seed=classes, present=present)
    meta = {"classes": tuple(f"class {i}" for i in range(classes))}
    ours, theirs = ConfusionMetric(), IoUMetric(iou_metrics=["mIoU"])
    assert evaluated(ours, data, meta) == pytest.approx(evaluated(theirs, data, meta), abs=0.006)
    assert len(ours.scores.absent) == classes - (present or classes)


@pytest.mark.parametrize("reduced", [False, True])
def test_label_maps_are_written_as_mmsegmentation_does(tmp_path, reduced):
    data = [{**sample, "reduce_zero_label": reduced} for sample in samples(2, 5, seed=0)]
    meta = {"classes": tuple("abcde"), "palette": [[label, 0, 0] for label in range(5)]}
    for metric in (ConfusionMetric, IoUMetric):
        made = metric(output_dir=str(tmp_path / metric.__name__))
        evaluated(made, data, meta)
    for name in ("0.png", "1.png"):
        ours, theirs = (np.array(Image.open(tmp_path / kind / name)) for kind in ("ConfusionMetric", "IoUMetric"))
        assert (ours == theirs).all()


def test_the_matrix_is_that_of_the_last_evaluation():
    meta = {"classes": ("a", "b", "c")}
    metric = ConfusionMetric()
    assert metric.matrix is None
    evaluated(metric, samples(3, 3, seed=0), meta)
    first = metric.matrix.clone()
    evaluated(metric, samples(1, 3, seed=1), meta)
    assert metric.matrix.sum() < first.sum()
    assert scores_of(first, meta["classes"]).mean_iou != metric.scores.mean_iou


def test_evaluates_again_from_nothing():
    meta = {"classes": ("a", "b")}
    metric = ConfusionMetric()
    first = evaluated(metric, samples(3, 2, seed=0), meta)
    evaluated(metric, samples(3, 2, seed=1), meta)
    assert evaluated(metric, samples(3, 2, seed=0), meta) == first


def test_failures_are_left_out_and_named():
    data = samples(4, 3, seed=0)
    meta = {"classes": ("a", "b", "c")}
    metric, without = ConfusionMetric(), ConfusionMetric()
    broken = [*data[:3], {"sample_idx": 3, "img_path": "bad.jpg", "failure": "it is empty"}]
    assert evaluated(metric, broken, meta) == evaluated(without, data[:3], meta)
    assert metric.failures == [("bad.jpg", "it is empty")]


def test_nothing_usable():
    metric = ConfusionMetric()
    with pytest.raises(UsageError, match=r"none of the 1 images could be used.*bad.jpg: it is empty"):
        evaluated(metric, [{"sample_idx": 0, "img_path": "bad.jpg", "failure": "it is empty"}], {"classes": ("a",)})


def test_images_count_once():
    data = samples(2, 2, seed=0)
    metric = ConfusionMetric()
    with pytest.raises(UsageError, match="round_up=False"):
        evaluated(metric, [*data, data[0]], {"classes": ("a", "b")})
    metric = ConfusionMetric()
    metric.dataset_meta = {"classes": ("a", "b")}
    metric.process({}, data)
    with pytest.raises(UsageError, match="2 of the 3 images"):
        metric.evaluate(3)
