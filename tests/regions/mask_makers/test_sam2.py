"""SAM 2 through the classes of transformers, with a small model of seeded weights, against its own processor."""

import numpy as np
import pytest
import torch
from toys.sam2 import tiny_sam2

from densevl.core.errors import UsageError, WeightsError
from densevl.core.registry import build
from densevl.regions.mask_makers import MASK_MAKERS

transformers = pytest.importorskip("transformers", minversion="4.56")
BOXES = [[10, 8, 60, 70], [0, 0, 131, 96], [90, 20, 128, 60]]


@pytest.fixture(scope="module")
def model():
    return tiny_sam2()


@pytest.fixture(scope="module")
def sam2(model):
    from densevl.regions.mask_makers.sam2 import Sam2

    return Sam2(model, small=0, automatic={"points_per_side": 3, "predicted_iou": -99, "stability": 0.1})


@pytest.fixture(scope="module")
def processor(sam2):
    return transformers.Sam2Processor(sam2.processor, target_size=128)


def test_boxes_give_the_masks_of_the_processor(sam2, model, processor, garden):
    inputs = processor(images=garden, input_boxes=[BOXES], return_tensors="pt")
    with torch.inference_mode():
        answer = model(**{k: v for k, v in inputs.items() if k != "original_sizes"}, multimask_output=False)
    theirs = processor.post_process_masks(answer.pred_masks, inputs["original_sizes"])[0][:, 0]
    masks = sam2.from_boxes(garden, BOXES)
    assert masks.shape == (3, 96, 131)
    assert 0 < masks.float().mean() < 1
    assert torch.equal(masks, theirs.bool())


def test_points_give_the_masks_of_the_processor(sam2, model, processor, garden):
    points = [[[20, 30], [90, 10]], [[5, 5], [70, 60]]]
    labels = [[1, 0], [1, 1]]
    inputs = processor(images=garden, input_points=[points], input_labels=[labels], return_tensors="pt")
    with torch.inference_mode():
        answer = model(**{k: v for k, v in inputs.items() if k != "original_sizes"}, multimask_output=False)
    theirs = processor.post_process_masks(answer.pred_masks, inputs["original_sizes"])[0][:, 0]
    assert torch.equal(sam2.from_points(garden, points, labels), theirs.bool())


def test_a_batch_gives_what_its_members_give(sam2, garden):
    prepared = sam2.encode(garden)
    together = sam2.from_boxes(prepared, BOXES)
    assert torch.equal(together, torch.cat([sam2.from_boxes(prepared, [box]) for box in BOXES]))
    regions = sam2.everything(prepared)
    assert regions.scores.tolist() == sorted(regions.scores.tolist(), reverse=True)


def test_a_folder_is_loaded_with_its_identity(sam2, model, garden, tmp_path):
    model.save_pretrained(tmp_path / "tiny")
    loaded = build(MASK_MAKERS, {"type": "sam2", "weights": str(tmp_path / "tiny"), "offline": True, "small": 0})
    assert loaded.name == "SAM 2 (tiny)"
    assert loaded.model_id.split(",")[0].split("@")[1] == sam2.model_id.split(",")[0].split("@")[1]
    assert torch.equal(loaded.from_boxes(garden, BOXES), sam2.from_boxes(garden, BOXES))
    rough = loaded.to("cpu", "bfloat16").from_boxes(garden, BOXES)
    assert (rough == sam2.from_boxes(garden, BOXES)).float().mean() > 0.9


def test_what_cannot_be_loaded(model, tmp_path):
    with pytest.raises(WeightsError, match=r"cannot be loaded from .*fetch config\.json and model\.safetensors"):
        build(MASK_MAKERS, {"type": "sam2", "weights": str(tmp_path / "none"), "offline": True})
    model.vision_encoder.save_pretrained(tmp_path / "part")
    with pytest.raises(WeightsError):
        build(MASK_MAKERS, {"type": "sam2", "weights": str(tmp_path / "part"), "offline": True})
    with pytest.raises(UsageError, match="mask maker 'sam3' is unknown"):
        build(MASK_MAKERS, "sam3")


def test_a_narrow_picture(sam2):
    assert sam2.from_boxes(np.zeros((1, 300, 3), np.uint8), [[3, 0, 9, 1]]).shape == (1, 1, 300)
