"""Benchmarks of heads, of large vocabularies and of solvers: what is measured is the same thing."""

import math
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from densevl.benchmarks.speed import run_benchmark
from densevl.benchmarks.speed.solvers import plain_lposs, plain_lposs_pixels, plain_pamr
from densevl.core.errors import UsageError
from densevl.core.features import DenseFeatures
from densevl.dense.stages.lposs import LPOSS
from densevl.dense.stages.lposs_pixels import LPOSSPixels
from densevl.dense.stages.pamr import PAMR
from densevl.tasks.segmentation.windows import WindowPlan


@pytest.fixture
def image():
    return torch.rand(3, 20, 27, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def scores():
    return torch.rand(4, 20, 27, generator=torch.Generator().manual_seed(1))


def test_heads_stand_beside_maskclip():
    table = run_benchmark("heads", readouts=["naclip"], arch="mini-clip", size="64x64", count=1, repetitions=1)
    assert [name for name, _ in table.rows] == ["maskclip", "naclip"]
    assert table.rows[0][1][1] == 0
    with pytest.raises(UsageError, match="the benchmark heads takes no option 'classes'"):
        run_benchmark("heads", classes=3)


VOCABULARY = """
from densevl.benchmarks.speed import run_benchmark
for _, (_, added) in run_benchmark("vocabulary", classes=300, size="200x200").rows:
    print(added)
"""


def test_large_vocabularies_take_less_memory_a_few_at_a_time():
    """In a process of its own, which has no memory left over that scores could be put into."""
    run = subprocess.run([sys.executable, "-c", VOCABULARY], check=True, capture_output=True, text=True)
    all_classes, few, *_ = map(float, run.stdout.split())
    if math.isnan(few):
        pytest.skip("this machine does not let a process forget its peak")
    assert few < all_classes / 2


def test_solvers_find_what_the_plain_way_finds(image, scores):
    for stage, plain in ((PAMR(3, (2, 4)), plain_pamr), (LPOSSPixels(reach=2), plain_lposs_pixels)):
        expected = plain(stage, scores, image)
        torch.testing.assert_close(stage(scores, image), expected.to(scores), rtol=1e-4, atol=1e-5)


def test_lposs_finds_what_the_plain_way_finds():
    plan = WindowPlan((32, 48), 32, 16)
    draw = torch.Generator().manual_seed(2)
    cosines = torch.rand(len(plan), 3, 4, 4, generator=draw)
    keys = F.normalize(torch.randn(len(plan), 8, 4, 4, generator=draw), dim=1)
    features = DenseFeatures(torch.zeros(len(plan), 1, 4, 4), 8, "drawn", keys=keys)
    stage = LPOSS(neighbours=9)
    expected = plain_lposs(stage, cosines, features, plan.boxes)
    torch.testing.assert_close(stage(cosines, features, windows=plan.boxes), expected, rtol=1e-3, atol=1e-5)
