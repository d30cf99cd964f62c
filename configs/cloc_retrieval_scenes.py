"""Region–text retrieval on held-out scenes with the mini CLOC, both ways: R@1, R@5, R@10.

    python tools/test.py configs/cloc_retrieval_scenes.py

Nothing to download. The gallery is all objects of the 500 scenes and all that is said of them, such as "small red star
on grass"; its size and what chance gives are printed.
"""

from mmengine.dataset import DefaultSampler

from densevl.benchmarks.regions.metrics import RetrievalMetric
from densevl.benchmarks.regions.model import RegionRetriever
from densevl.benchmarks.regions.pairs import SceneRegionPairs

model = dict(type=RegionRetriever, segmentor="mini-cloc")
test_evaluator = dict(type=RetrievalMetric)
test_dataloader = dict(
    batch_size=8,
    num_workers=2,
    sampler=dict(type=DefaultSampler, shuffle=False, round_up=False),
    dataset=dict(type=SceneRegionPairs, seed=1, length=500, size=128),
)
