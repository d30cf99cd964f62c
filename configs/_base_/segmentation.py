"""Label maps compared with true ones: every image once. A config adds its images and classes, `--model` the model.

What `tools/test.py` does not read is for the tools of mmsegmentation, which take these configs as they are: see
docs/guides/mmsegmentation.md.
"""

from mmengine.dataset import DefaultSampler

from densevl.benchmarks.segmentation.classes import AskDatasetClasses
from densevl.benchmarks.segmentation.datasets import VocabularyDataset
from densevl.benchmarks.segmentation.metric import ConfusionMetric
from densevl.benchmarks.segmentation.model import OpenVocabularyModel

default_scope = "mmseg"
model = dict(type=OpenVocabularyModel)
test_pipeline = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations"), dict(type="PackSegInputs")]
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    sampler=dict(type=DefaultSampler, shuffle=False, round_up=False),
    dataset=dict(type=VocabularyDataset, pipeline=test_pipeline),
)
test_evaluator = dict(type=ConfusionMetric)
test_cfg = dict(type="TestLoop")
custom_hooks = [dict(type=AskDatasetClasses)]
default_hooks = dict(visualization=dict(type="SegVisualizationHook"))
visualizer = dict(type="SegLocalVisualizer", name="visualizer", vis_backends=[dict(type="LocalVisBackend")])

tta_model = dict(type="SegTTAModel")
tta_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(
        type="TestTimeAug",
        transforms=[
            [dict(type="RandomFlip", prob=0.0), dict(type="RandomFlip", prob=1.0)],
            [dict(type="LoadAnnotations")],
            [dict(type="PackSegInputs")],
        ],
    ),
]
