"""The losses of the mini SAM against loops, its batched decoder against single pictures, and a short training."""

import math

import pytest
import torch

from densevl.core.config_files import load_config
from densevl.datasets.scenes import GROUNDS, render
from densevl.datasets.scenes.segments import SceneMasks, draw_boxes, draw_clicks, segments
from densevl.training.mask_quality import innermost
from densevl.training.mini_sam import PromptedSam, dice_loss, focal_loss, mask_iou


def test_losses_against_loops():
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(2, 3, 4, generator=generator, dtype=torch.float64)
    masks = torch.rand(2, 3, 4, generator=generator) < 0.4
    for i in range(2):
        values = zip(logits[i].ravel().tolist(), masks[i].ravel().tolist(), strict=True)
        pairs = [(1 / (1 + math.exp(-z)), m) for z, m in values]
        terms = [0.25 * (1 - p) ** 2 * math.log(p) if m else 0.75 * p**2 * math.log(1 - p) for p, m in pairs]
        focal = -sum(terms) / len(terms)
        shared = sum(p for p, m in pairs if m)
        dice = 1 - (2 * shared + 1) / (sum(p for p, _ in pairs) + sum(m for _, m in pairs) + 1)
        assert focal_loss(logits, masks)[i].item() == pytest.approx(focal)
        assert dice_loss(logits, masks)[i].item() == pytest.approx(dice)


def test_intersection_over_union():
    first = torch.tensor([[[True, True, False]], [[False, False, False]]])
    second = torch.tensor([[[False, True, True]], [[False, False, False]]])
    assert mask_iou(first, second).tolist() == pytest.approx([1 / 3, 0])


def test_segments_are_the_objects_and_the_grounds():
    scene = render(0, 3, 64, "train", (3, 3))
    numbers = segments(scene)
    for i, item in enumerate(scene.objects):
        assert ((numbers == len(GROUNDS) + i) == item.mask).all()
    assert (numbers[scene.instances == 0] == scene.labels[scene.instances == 0]).all()


def test_pictures_have_the_encoders_longer_side():
    data = SceneMasks(3, rendered=(64,))
    for index in range(len(data)):
        sample = data[index]
        assert max(sample["images"].shape[1:]) == 160
        assert sample["images"].shape[1:] == sample["segments"].shape
        assert sample["images"].dtype == sample["segments"].dtype == torch.uint8
    assert torch.equal(SceneMasks(3, rendered=(64,))._draw(1)[0], data._draw(1)[0])


def test_boxes_are_those_of_the_masks():
    numbers = torch.from_numpy(segments(render(0, 3, (60, 80), "train", (2, 4))))
    boxes, masks = draw_boxes(numbers, 20, shake=0.0)
    for box, mask in zip(boxes, masks, strict=True):
        rows, columns = mask.nonzero().T
        assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    shaken, _ = draw_boxes(numbers, 200)
    assert (shaken[:, 2:] > shaken[:, :2]).all()
    assert (shaken >= 0).all()
    assert (shaken <= torch.tensor([80, 60, 80, 60])).all()


def test_clicks_lie_where_their_labels_say():
    numbers = torch.from_numpy(segments(render(0, 4, (60, 80), "train", (2, 4))))
    clicks = draw_clicks(numbers, 30, 4)
    columns, rows = clicks.points.long().unbind(-1)
    for row, column, label, mask in zip(rows, columns, clicks.labels, clicks.masks, strict=True):
        assert mask[row, column].long().tolist() == label.tolist()
    assert (clicks.labels[:, 0] == 1).all()
    assert set(clicks.labels.unique().tolist()) == {0, 1}
    whole = draw_clicks(torch.zeros(16, 16, dtype=torch.uint8), 2, 3)
    assert (whole.labels == 1).all(), "where there is no outside every point is inside"


def test_the_decoder_in_batches_is_the_decoder_of_each_picture():
    model = PromptedSam(seed=1).eval()
    embedded = torch.randn(3, 128, 20, 20)
    boxes = torch.rand(6, 2, 2).sort(1).values.flatten(1) * 160
    with torch.inference_mode():
        sparse, dense = model.sam.prompt_encoder(points=None, boxes=boxes, masks=None)
        masks, quality = model.decode(embedded, sparse, dense, True)
        for i in range(3):
            alone = model.sam.mask_decoder(
                image_embeddings=embedded[i : i + 1],
                image_pe=model.sam.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse[2 * i : 2 * i + 2],
                dense_prompt_embeddings=dense[2 * i : 2 * i + 2],
                multimask_output=True,
            )
            torch.testing.assert_close(masks[2 * i : 2 * i + 2], alone[0], atol=1e-4, rtol=1e-3)
            torch.testing.assert_close(quality[2 * i : 2 * i + 2], alone[1], atol=1e-4, rtol=1e-3)


def test_a_few_steps_lower_the_loss():
    data = SceneMasks(2, rendered=(64,), count=(1, 1))
    batch = [data[i] for i in range(2)]
    model = PromptedSam(boxes=2, clicks=1, points=(1,), autocast=False)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    losses = []
    for _ in range(6):
        torch.manual_seed(0)
        found = model([sample["images"] for sample in batch], [sample["segments"] for sample in batch])
        total = found["loss_boxes"] + found["loss_points"] + found["loss_iou"]
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        losses.append(total.item())
    assert losses[-1] < 0.95 * losses[0]


def test_the_recipe_can_be_loaded():
    config = load_config("configs/sam_train_scenes.py", {})
    assert config.model["type"] is PromptedSam or config.model["type"].endswith("PromptedSam")
    assert (
        config.train_dataloader.dataset["type"] is SceneMasks or "SceneMasks" in config.train_dataloader.dataset["type"]
    )


def test_the_innermost_pixel():
    mask = torch.zeros(9, 12, dtype=torch.bool)
    mask[2:7, 3:8] = True
    assert innermost(mask) == (5.0, 4.0)
    assert innermost(torch.ones(3, 3, dtype=torch.bool)) == (1.0, 1.0)
