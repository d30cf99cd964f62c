"""RefCOCOg, split by UMD: val 4896 and test 9602 expressions on images of COCO train2014."""

from mmengine.dataset import DefaultSampler

from densevl.datasets.referring.datasets import ReferringDataset
from densevl.benchmarks.referring.metric import ReferringMetric

test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type=DefaultSampler, shuffle=False, round_up=False),
    dataset=dict(
        type=ReferringDataset,
        dataset="refcocog",
        splits_by="umd",
        split="val",
        data_root="data/refer",
        proposals="true",
    ),
)
test_evaluator = dict(type=ReferringMetric, rule=">")
