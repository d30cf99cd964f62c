"""Training of the prompter on scenes."""

import pytest
import torch
from mmengine.optim import OptimWrapper

from densevl.encoders import build_clip
from densevl.region_embedders import PromptedRegions
from densevl.scenes import render
from densevl.training.cloc import PrompterTraining
from densevl.training.cloc_losses import cloc_losses
from densevl.training.scene_region_texts import SceneRegionTexts, collate_regions
from densevl.training.train import train


@pytest.fixture(scope="module")
def encoder():
    return build_clip("mini-clip", text_cache=False)


def batch(regions: SceneRegionTexts, places: list[int]) -> dict[str, list]:
    return collate_regions([regions[place] for place in places])


def test_boxes_and_texts_are_those_of_the_objects():
    scene, sample = render(5, 2, 64, "train", (2, 4)), SceneRegionTexts(4, 64, count=(2, 4), seed=5)[2]
    assert len(sample["texts"]) == len(scene.objects)
    for box, text, item in zip(sample["boxes"], sample["texts"], scene.objects, strict=True):
        assert tuple((box * 64).round().int().tolist()) == tuple(item.box)
        assert item.colour in text
        assert item.shape in text


def test_losses_are_those_of_each_image_read_alone(encoder):
    model = PrompterTraining(encoder, most=10)
    data = batch(SceneRegionTexts(4, 64, count=(0, 2), seed=6), list(range(4)))
    counts = [len(boxes) for boxes in data["boxes"]]
    assert min(counts) == 0 < max(counts)
    found = model(**data)
    regions, located = [], []
    for image, boxes, texts in zip(*data.values(), strict=True):
        if texts:
            grid = encoder.tokens(image[None].float() / 255)
            vectors = encoder.embed_texts(texts)
            regions.append(model.prompter(grid, model.prompter.boxes(boxes[None]))[0])
            located.append(model.prompter.box_head(model.prompter(grid, model.prompter.texts(vectors[None]))[0]))
    texts = encoder.embed_texts([text for some in data["texts"] for text in some])
    expected = cloc_losses(
        torch.cat(regions),
        texts,
        model.prompter.logit_scale.exp(),
        torch.cat(located),
        torch.cat(data["boxes"]),
        torch.tensor(counts) > 0,
    )
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_batch_without_regions_can_be_trained_on(encoder):
    model = PrompterTraining(encoder)
    losses = model(**batch(SceneRegionTexts(2, 64, count=(0, 0)), [0, 1]))
    (losses["loss_cloc"] + losses["loss_ground"]).backward()
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())


def test_training_learns_and_leaves_the_encoder_alone(encoder):
    model, data = PrompterTraining(encoder, pool="hint"), batch(SceneRegionTexts(4, 64, count=(2, 3)), [0, 1, 2, 3])
    assert all(name.startswith("prompter.") for name in model.state_dict())
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    optimizer = OptimWrapper(torch.optim.AdamW(model.parameters(), 1e-3))
    history = [model.train_step(data, optimizer)["loss_cloc"].item() for _ in range(15)]
    assert history[-1] < 0.5 * history[0]
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


def test_the_recipe_trains_and_leaves_a_prompter_behind(encoder, tmp_path):
    options = {
        "train_cfg.max_iters": 2,
        "train_dataloader.batch_size": 2,
        "train_dataloader.dataset.length": 4,
        "train_dataloader.dataset.size": 64,
    }
    model = train("cloc_train_scenes", tmp_path, options=options)
    embedder = PromptedRegions(encoder, tmp_path / "prompter.safetensors")
    state = embedder.encoder.prompter.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in model.prompter.state_dict().items())
    assert embedder.encoder.temperature == pytest.approx(model.prompter.logit_scale.exp().item())
