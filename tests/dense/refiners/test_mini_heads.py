"""The shipped heads of the mini model on held-out scenes: what they add, and where they see things."""

import torch
import torch.nn.functional as F
from toys.models import build_segmentor

from densevl.benchmarks.segmentation.datasets import ScenesDataset
from densevl.benchmarks.tables.dinoiser import Row, count
from densevl.metrics.confusion import scores_of


def test_they_add_five_points_to_maskclip_at_its_best_size() -> None:
    dataset = ScenesDataset(length=16)
    ways = [Row(name, build_segmentor(name)) for name in ("mini-maskclip", "mini")]
    plain, refined = (scores_of(matrix, dataset.vocabulary.names).mean_iou for matrix in count(ways, dataset))
    assert refined > plain + 5


def test_the_foreground_head_sees_the_things() -> None:
    segmentor, dataset = build_segmentor("mini"), ScenesDataset(length=8)
    both = either = 0
    for index in range(len(dataset)):
        scene = dataset.scene(index)
        (encoded,) = segmentor.encode([scene.image])
        seen = encoded.features.foreground[0] > 0
        things = torch.from_numpy(scene.instances > 0).float()[None, None]
        true = F.interpolate(things, seen.shape, mode="area")[0, 0] > 0.5
        both, either = both + (seen & true).sum(), either + (seen | true).sum()
    assert both / either > 0.75
