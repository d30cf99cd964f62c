"""Training of CLOC in its three modes: the joint loss by loops in float64, gradients, and what stays untouched."""

import math

import pytest
import torch
from mmengine.optim import OptimWrapper
from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from torch.nn.functional import normalize

from densevl.core.errors import UsageError
from densevl.datasets.region_sample import collate_regions
from densevl.datasets.scenes import render
from densevl.datasets.scenes.training import SceneRegionTexts
from densevl.encoders.clip import CLIPEncoder
from densevl.encoders.loading import build_clip, build_random_clip, build_whole_clip
from densevl.regions.embedders.prompted import PromptedRegions, save_prompter
from densevl.training.cloc.model import ClocTraining
from densevl.training.train import train

BOXES = torch.tensor([[0.1, 0.2, 0.6, 0.9], [0.5, 0.0, 1.0, 0.4], [0.0, 0.0, 0.3, 0.3], [0.2, 0.1, 0.9, 0.8]])


@pytest.fixture(scope="module")
def encoder() -> CLIPEncoder:
    return build_clip("mini-clip", text_cache=False)


def batch(regions: SceneRegionTexts, places: list[int]) -> dict[str, list]:
    return collate_regions([regions[place] for place in places])


def noise(counts: list[int], captions: list[str | None], side: int = 16, seed: int = 0) -> dict[str, list]:
    """A batch of noise with so many regions an image, some of equal texts."""
    generator = torch.Generator().manual_seed(seed)
    words = ["red star", "sand", "a blue ring", "red star", "green square on grass"]
    numbers = torch.arange(sum(counts)).split(counts)
    return {
        "images": list(torch.randint(256, (len(counts), 3, side, side), generator=generator).byte()),
        "boxes": [BOXES[some % 4] for some in numbers],
        "texts": [tuple(words[k % 5] for k in some.tolist()) for some in numbers],
        "caption": captions,
    }


def info_nce(first: list[torch.Tensor], second: list[torch.Tensor], scale: torch.Tensor, alike: set) -> torch.Tensor:
    """Symmetric InfoNCE by loops, without the pairs of ``alike``."""
    total, count = torch.zeros((), dtype=torch.float64), range(len(first))
    for i in count:
        kept = [j for j in count if (i, j) not in alike]
        own = scale * (first[i] @ second[i])
        total = total - 2 * own + sum((scale * (first[i] @ second[j])).exp() for j in kept).log()
        total = total + sum((scale * (first[j] @ second[i])).exp() for j in kept).log()
    return total / (2 * max(1, len(first)))


def by_hand(model: ClocTraining, data: dict[str, list]) -> dict[str, torch.Tensor]:
    """The joint loss: open_clip's own passes, one image, one text and one region at a time."""
    clip, prompter = model.clip, model.prompter
    mean = torch.tensor(OPENAI_DATASET_MEAN, dtype=torch.float64)[:, None, None]
    std = torch.tensor(OPENAI_DATASET_STD, dtype=torch.float64)[:, None, None]

    def text(words: str) -> torch.Tensor:
        return normalize(clip.encode_text(model.encoder.text.tokenize([words])), dim=1)

    pictures, captions, regions, texts, found = [], [], [], [], []
    for image, boxes, words, caption in zip(*data.values(), strict=True):
        pixels = (image.double()[None] / 255 - mean) / std
        passed = clip.visual.forward_intermediates(pixels, indices=1, normalize_intermediates=False)
        grid = passed["image_intermediates"][-1]
        if caption is not None:
            pictures.append(normalize(clip.visual(pixels), dim=1)[0])
            captions.append(text(caption)[0])
        for box, phrase in zip(boxes.double(), words, strict=True):
            texts.append(text(phrase)[0])
            regions.append(prompter(grid, prompter.boxes(box[None, None]))[0, 0])
            found.append(prompter.box_head(prompter(grid, prompter.texts(texts[-1][None, None])))[0, 0])
    pairs = range(len(texts))
    alike = {(i, j) for i in pairs for j in pairs if i != j and (texts[i] @ texts[j]).item() > 0.9}
    share = sum(len(boxes) > 0 for boxes in data["boxes"]) / len(data["boxes"])
    errors = [(a - b).square().mean() for a, b in zip(found, torch.cat(data["boxes"]).double(), strict=True)]
    return {
        "loss_clip": info_nce(pictures, captions, clip.logit_scale.exp(), set()),
        "loss_cloc": share * info_nce(regions, texts, prompter.logit_scale.exp(), alike),
        "loss_ground": share * sum(errors) / len(errors),
    }


@pytest.mark.parametrize("pool", ["avg", "tok"])
def test_the_joint_loss_and_its_gradients_by_hand(tiny, pool):
    model = ClocTraining(tiny(pool), frozen=False, most=9, placed=True).double()
    data = noise([2, 0, 3], ["a red star on sand", None, "grass"])
    losses, expected = model(**data), by_hand(model, data)
    assert losses.pop("share").item() == pytest.approx(2 / 3)
    weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    assert {"clip.visual.class_embedding", "clip.token_embedding.weight", "prompter.logit_scale"} < weights.keys()
    found = torch.autograd.grad(sum(losses.values()), list(weights.values()))
    wanted = torch.autograd.grad(sum(expected.values()), list(weights.values()))
    for name, loss in losses.items():
        assert loss.item() == pytest.approx(expected[name].item(), rel=1e-9), name
    for name, one, other in zip(weights, found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-12, msg=name)


def test_image_loss_reaches_both_towers_and_region_loss_too(tiny):
    model = ClocTraining(tiny(), frozen=False, grounding=0).double()
    without = model(**noise([0, 0, 0], ["a red star", "sand", "grass"]))
    assert without["loss_cloc"] == 0
    without["loss_clip"].backward()
    towers = [model.clip.visual.conv1.weight, model.clip.positional_embedding, model.clip.visual.positional_embedding]
    assert all(weight.grad.abs().sum() > 0 for weight in (*towers, model.clip.logit_scale))
    model.zero_grad()
    model(**noise([2, 1, 1], [None, None, None]))["loss_cloc"].backward()
    assert all(weight.grad.abs().sum() > 0 for weight in towers)


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("captions", [["sand", "grass"], [None, None]])
def test_a_batch_without_regions_is_defined(tiny, frozen, captions):
    model = ClocTraining(tiny(), frozen=frozen).double()
    losses = model(**noise([0, 0], captions))
    assert losses["loss_cloc"] == losses["loss_ground"] == losses["share"] == 0
    model.parse_losses(losses)[0].backward()
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            assert weight.grad is not None, name
            assert weight.grad.isfinite().all(), name
    assert not any(weight.grad.any() for weight in model.prompter.parameters() if weight.grad is not None)
    if not frozen and captions[0] is None:
        assert losses["loss_clip"] == 0


def test_equal_texts_teach_regions_nothing(tiny):
    model = ClocTraining(tiny(), frozen=False).double()
    data = noise([2, 1], ["sand", "grass"])
    data["texts"] = [("red star",) * 2, ("red star",)]
    losses = model(**data)
    assert losses["loss_cloc"].item() == pytest.approx(0, abs=1e-12)
    losses["loss_cloc"].backward()
    gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
    assert max(gradient.abs().max().item() for gradient in gradients) < 1e-12
    assert ClocTraining(tiny(), frozen=False, threshold=None).double()(**data)["loss_cloc"] > 0.5


def test_a_caption_beyond_the_context_loses_its_end(tiny):
    model = ClocTraining(tiny(), frozen=False).double()
    long = " ".join(["red star"] * 40)
    losses = model(**noise([1, 1], [long, "sand"]))
    assert math.isfinite(losses["loss_clip"].item())


def test_boxes_and_texts_are_those_of_the_objects():
    regions = SceneRegionTexts(4, 64, count=(2, 4), seed=5, masks=True)
    scene, sample = render(5, 2, 64, "train", (2, 4)), regions[2]
    assert len(sample["texts"]) == len(scene.objects)
    for box, text, mask, item in zip(sample["boxes"], sample["texts"], sample["masks"], scene.objects, strict=True):
        assert tuple((box * 64).round().int().tolist()) == tuple(item.box)
        assert item.colour in text
        assert item.shape in text
        assert item.shape in sample["caption"]
        assert torch.equal(mask, torch.from_numpy(item.mask))


def test_images_of_two_sizes(encoder):
    data = batch(SceneRegionTexts(2, 64), [0, 1])
    data["images"][0] = data["images"][0][:, :32]
    with pytest.raises(UsageError, match="padded to one size"):
        ClocTraining(encoder)(**data)


def test_training_learns_and_leaves_a_frozen_encoder_alone(encoder):
    model, data = ClocTraining(encoder, pool="hint"), batch(SceneRegionTexts(4, 64, count=(2, 3)), [0, 1, 2, 3])
    assert all(name.startswith("prompter.") for name in model.state_dict())
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    optimizer = OptimWrapper(torch.optim.AdamW(model.parameters(), 1e-3))
    history = [model.train_step(data, optimizer)["loss_cloc"].item() for _ in range(15)]
    assert history[-1] < 0.5 * history[0]
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    assert all(p.grad is None and not p.requires_grad for p in encoder.parameters())


def test_an_encoder_that_is_trained_changes(tiny):
    model = ClocTraining(tiny(), frozen=False).double()
    assert {name.partition(".")[0] for name in model.state_dict()} == {"clip", "prompter"}
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = OptimWrapper(torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-2))
    data = noise([2, 1, 1], ["a red star", "sand", "grass"])
    history = [model.train_step(data, optimizer)["loss"].item() for _ in range(10)]
    assert history[-1] < history[0]
    after = model.state_dict()
    untouched = {name for name, value in before.items() if torch.equal(value, after[name])}
    assert untouched == {name for name, weight in model.named_parameters() if not weight.requires_grad}


def test_tokens_in_place_of_images(encoder):
    data = batch(SceneRegionTexts(2, 64), [0, 1])
    model = ClocTraining(encoder, most=10)
    expected = model(**data)
    tokens = list(encoder.tokens(torch.stack(data.pop("images")).float() / 255))
    torch.testing.assert_close(model(**data, tokens=tokens), expected)


def test_begun_again_from_a_prompter(encoder, tmp_path):
    first = ClocTraining(encoder, seed=4, pool="hint")
    save_prompter(first.prompter, tmp_path / "prompter.safetensors", encoder.model_id)
    again = ClocTraining(encoder, prompter=str(tmp_path / "prompter.safetensors"))
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in first.state_dict().items())
    assert again.prompter.logit_scale.requires_grad
    with pytest.raises(UsageError, match="takes neither settings nor a start"):
        ClocTraining(encoder, prompter=first.prompter, pool="all")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"most": 0}, "most must be at least 1"),
        ({"grounding": -1.0}, "grounding 0 or more"),
        ({"pool": "none"}, "pool must be one of"),
        ({"colour": "red"}, "the prompter cannot be built"),
        ({"start": "middle"}, "start must be one of random, box-pooling"),
        ({"hints": {"boxes": 1}}, r"'boxes' is unknown; did you mean box\?"),
        ({"hints": {"box": 0}}, "one of them more"),
    ],
)
def test_settings_without_a_meaning(encoder, changes, message):
    with pytest.raises(UsageError, match=message):
        ClocTraining(encoder, **changes)


def test_modes_without_a_meaning(encoder):
    with pytest.raises(UsageError, match="tokens go out of date"):
        ClocTraining(build_random_clip("mini-clip"), frozen=False)(
            **noise([1], ["sand"]), tokens=[torch.zeros(192, 2, 2)]
        )
    with pytest.raises(UsageError, match="WholeImageEncoder has none"):
        ClocTraining(build_whole_clip("mini-clip", text_cache=False))
    data = batch(SceneRegionTexts(2, 64), [0, 1])
    del data["caption"]
    with pytest.raises(UsageError, match="no `caption`"):
        ClocTraining(build_random_clip("mini-clip"), frozen=False)(**data)
    with pytest.raises(UsageError, match=r"leave out hints\.mask"):
        ClocTraining(encoder, hints={"mask": 1})(**data)


def test_the_recipe_trains_on_hints_of_all_kinds_and_leaves_a_prompter_behind(encoder, tmp_path):
    options = {
        "train_cfg": {"max_iters": 2, "val_interval": 2},
        "train_dataloader.batch_size": 2,
        "train_dataloader.dataset.dataset": {"length": 4, "size": 48, "side": 64},
        "val_dataloader.dataset.length": 1,
    }
    model = train("cloc_train_scenes", tmp_path, options=options)
    assert all(weight.requires_grad for name, weight in model.named_parameters() if "of_mask" in name)
    embedder = PromptedRegions(encoder, tmp_path / "prompter.safetensors")
    state = embedder.encoder.prompter.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in model.prompter.state_dict().items())
    assert embedder.encoder.temperature == pytest.approx(model.prompter.logit_scale.exp().item())
