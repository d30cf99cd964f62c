"""Region recognition on held-out scenes: the names of true boxes, 64 to choose from, marked for the mini CLIP.

    python tools/test.py configs/fgvp_regions_scenes.py

Nothing to download. The mean over the pairs that training has seen and over those that it never saw is printed too.
"""

from mmengine.dataset import DefaultSampler

from densevl.benchmarks.regions.datasets import SceneRegions
from densevl.benchmarks.regions.metrics import RecognitionMetric
from densevl.benchmarks.regions.model import RegionChooser

model = dict(type=RegionChooser, segmentor="mini-regions")
test_evaluator = dict(type=RecognitionMetric)
test_dataloader = dict(
    batch_size=8,
    num_workers=2,
    sampler=dict(type=DefaultSampler, shuffle=False, round_up=False),
    dataset=dict(type=SceneRegions, seed=1, length=500, size=128),
)
