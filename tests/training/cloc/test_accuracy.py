"""Region accuracy while training: the figure by hand, and where it goes."""

import json

import pytest
import torch
from mmengine.dataset import pseudo_collate

from densevl.benchmarks.regions.metrics import RecognitionMetric
from densevl.datasets.regions.datasets import SceneRegions
from densevl.encoders.loading import build_clip
from densevl.training.cloc.model import ClocTraining
from densevl.training.train import train


@pytest.fixture(scope="module")
def model() -> ClocTraining:
    return ClocTraining(build_clip("mini-clip", text_cache=False), pool="hint")


def test_accuracy_by_hand(model):
    data = SceneRegions(length=3, size=64)
    model.prepare(data)
    answered = model.val_step(pseudo_collate([data[i] for i in range(3)]))
    metric = RecognitionMetric()
    metric.dataset_meta = data.metainfo
    metric.process(None, [sample.to_dict() for sample in answered])
    figures = metric.evaluate(3)
    encoder, prompter, right, count = model.encoder, model.prompter, 0, 0
    names = encoder.embed_texts(data.texts)
    for i in range(3):
        sample = data[i]
        image = sample["inputs"].float()[None] / 255
        padded = torch.nn.functional.interpolate(image, (128, 128), mode="bicubic", antialias=True).clamp(0, 1)
        for region in sample["data_samples"].regions:
            box = torch.tensor(region.box)[None, None] / 64
            vector = prompter(encoder.tokens(padded), prompter.boxes(box))[0, 0]
            right += int((names @ vector).argmax()) == region.truth
            count += 1
    assert figures["top_1"] == pytest.approx(100 * right / count, abs=0.01)


def test_an_image_that_cannot_be_used_is_passed_on(model):
    data = SceneRegions(length=2, size=64)
    model.prepare(data)
    batch = pseudo_collate([data[0], data[1]])
    batch["data_samples"][0].set_metainfo({"failure": "no such file"})
    batch["inputs"][0] = torch.zeros(3, 0, 0, dtype=torch.uint8)
    answered = model.val_step(batch)
    assert "answers" not in answered[0]
    assert len(answered[1].answers) == len(answered[1].regions)


def test_figures_go_where_the_losses_go(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    changed = {
        "train_cfg": {"max_iters": 4, "val_interval": 2},
        "train_dataloader.batch_size": 2,
        "train_dataloader.dataset": {"length": 4, "size": 64},
        "val_dataloader.dataset.length": 2,
        "default_hooks.logger.interval": 1,
        "visualizer.vis_backends": [{"type": "LocalVisBackend"}, {"type": "TensorboardVisBackend"}],
    }
    train("cloc_tune_scenes", tmp_path, options=changed)
    (log,) = tmp_path.glob("*/vis_data/scalars.json")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["step"] for line in lines if "mAcc" in line] == [2, 4]
    assert sum("loss_cloc" in line for line in lines) == 4
    (events,) = tmp_path.glob("*/vis_data/events*")
    written = EventAccumulator(str(events)).Reload()
    assert len(written.Scalars("mAcc")) == len(written.Scalars("top_1")) == 2
    assert len(written.Scalars("loss_clip")) == 4
