"""RefCOCO, split by UNC: val 10834, testA 5657 and testB 5095 expressions on images of COCO train2014."""

from mmengine.dataset import DefaultSampler

from densevl.datasets.referring.datasets import ReferringDataset
from densevl.benchmarks.referring.metric import ReferringMetric

test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type=DefaultSampler, shuffle=False, round_up=False),
    dataset=dict(
        type=ReferringDataset, dataset="refcoco", splits_by="unc", split="val", data_root="data/refer", proposals="true"
    ),
)
test_evaluator = dict(type=ReferringMetric, rule=">")
