"""One training step of each kind on a device other than the CPU: nothing stays behind, and the losses are the same."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from toys.pretend_device import pretended_device

from densevl.datasets.region_sample import collate_regions
from densevl.datasets.scenes.segments import SceneMasks
from densevl.datasets.scenes.training import ScenePairs, SceneRegionTexts
from densevl.dense.refiners.found import FoundDecoder
from densevl.dense.refiners.teachers import Teachers
from densevl.encoders.dino import DINOEncoder, build_dino_model
from densevl.encoders.loading import build_random_clip
from densevl.training.cloc.encoded_regions import EncodedRegions
from densevl.training.cloc.encoded_scenes import EncodedScenes
from densevl.training.cloc.model import ClocTraining
from densevl.training.cloc.readers import KINDS, Reader, make_reader, train_reader
from densevl.training.contrastive import ContrastiveCLIP
from densevl.training.dinoiser import DinoiserTraining
from densevl.training.mini_sam import PromptedSam

Step = tuple[Any, dict[str, Any]]
SCENES = SceneRegionTexts(3, 64, seed=2, masks=True, side=64)


def contrastive() -> Step:
    pairs = [ScenePairs(2, size=32)[index] for index in range(2)]
    batch = {name: [pair[name] for pair in pairs] for name in ("images", "texts")}
    return ContrastiveCLIP(), batch


def mini_sam() -> Step:
    scenes = [SceneMasks(2, rendered=(64,))[index] for index in range(2)]
    return PromptedSam(), {name: [scene[name] for scene in scenes] for name in ("images", "segments")}


def dinoiser(**settings: Any) -> Step:
    vit = DINOEncoder(
        build_dino_model({"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}).eval(), "vit"
    )
    teacher = Teachers(vit, decoder=FoundDecoder(32))
    model = DinoiserTraining(build_random_clip("mini-clip"), teacher, inner=16, **settings)
    return model, {"images": [torch.randint(256, (3, 48, 48)).byte() for _ in range(2)]}


def cloc(dataset: Any = SCENES, **settings: Any) -> Step:
    model = ClocTraining(build_random_clip("mini-clip"), hints={"box": 1, "point": 1, "mask": 1}, **settings)
    return model, collate_regions([dataset[index] for index in range(3)])


def cloc_of_tokens() -> Step:
    return cloc(EncodedRegions(SCENES, build_random_clip("mini-clip")))


STEPS: dict[str, Callable[[], Step]] = {
    "contrastive": contrastive,
    "mini SAM": mini_sam,
    "DINOiser": dinoiser,
    "DINOiser on sub-patches": lambda: dinoiser(sub_patch=4, radius=2.5),
    "CLOC on a frozen CLIP": lambda: cloc(start="box-pooling", pool="hint", corner_tokens=1, placed=True),
    "CLOC on tokens": cloc_of_tokens,
    "CLOC and its CLIP": lambda: cloc(frozen=False),
}


def step(make: Callable[[], Step], device: torch.device | str) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
    """Losses of a step on a device, and the gradients of the weights."""
    torch.manual_seed(0)
    model, batch = make()
    model = model.to(device).train()
    if hasattr(model, "autocast"):
        model.autocast = False
    weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    optimizer = torch.optim.AdamW(weights.values(), 1e-3)
    torch.manual_seed(1)
    losses = model(**batch)
    assert {loss.device.type for loss in losses.values()} == {torch.device(device).type}
    sum(value for name, value in losses.items() if "loss" in name).backward()
    gradients = {name: weight.grad.cpu() for name, weight in weights.items() if weight.grad is not None}
    optimizer.step()
    assert {weight.device.type for weight in model.state_dict().values()} == {torch.device(device).type}
    return {name: loss.item() for name, loss in losses.items()}, gradients


@pytest.mark.parametrize("name", STEPS)
def test_a_step_elsewhere_is_the_step_on_the_cpu(name):
    expected, gradients = step(STEPS[name], "cpu")
    with pretended_device() as device:
        found, moved = step(STEPS[name], device)
    assert found == pytest.approx(expected, rel=1e-4)
    assert moved.keys() == gradients.keys()
    for key, gradient in gradients.items():
        torch.testing.assert_close(moved[key], gradient, rtol=1e-3, atol=1e-4 * float(gradient.abs().max()), msg=key)


@pytest.mark.parametrize("kind", KINDS)
def test_readers_are_trained_elsewhere(kind):
    encoder = build_random_clip("mini-clip")
    scenes = EncodedScenes.of(SCENES, encoder)
    reader = Reader("any", kind, grounding=1.0 if kind == "prompter" else 0.0)
    trained = []
    for device in (nullcontext(torch.device("cpu")), pretended_device()):
        with device as where:
            module = make_reader(kind, encoder, 0).to(where)
            train_reader(module, reader, scenes, 1, 0)
            assert {weight.device for weight in module.parameters()} == {where}
            trained.append(
                {name: weight.grad.cpu() for name, weight in module.named_parameters() if weight.grad is not None}
            )
    for key, gradient in trained[0].items():
        torch.testing.assert_close(
            trained[1][key], gradient, rtol=1e-3, atol=1e-4 * float(gradient.abs().max()), msg=key
        )
