"""Training of CLIP-DINOiser's heads: losses by loops, what is frozen, resuming, and the files that come of it."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from toys.dense import dense

from densevl.core.config_files import load_config
from densevl.core.errors import UsageError, WeightsError
from densevl.dense.readouts.maskclip import MaskCLIPReadout
from densevl.dense.refiners.dinoiser_weights import build_dinoiser
from densevl.dense.refiners.found import FoundDecoder
from densevl.dense.refiners.teachers import Teachers
from densevl.encoders.dino import DINOEncoder, build_dino_model
from densevl.encoders.loading import build_random_clip
from densevl.training.dinoiser import DinoiserTraining, affinity_loss, foreground_loss
from densevl.training.export import export, export_heads, write_heads
from densevl.training.runner import SafeRunner
from densevl.training.train import train
from densevl.weights import load_state_dict

VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}
seeds = st.integers(0, 2**31 - 1)


def cross_entropy(logit: float, target: bool) -> float:
    p = 1 / (1 + math.exp(-logit))
    return -math.log(p if target else 1 - p)


@given(seeds)
@settings(max_examples=10, deadline=None)
def test_affinity_loss_by_loops(seed):
    generator = torch.Generator().manual_seed(seed)
    affinity = 2 * torch.rand(2, 4, 4, generator=generator, dtype=torch.float64) - 1
    same = torch.rand(2, 4, 4, generator=generator) < 0.5
    pairs = zip(affinity.flatten().tolist(), same.flatten().tolist(), strict=True)
    expected = sum(cross_entropy(max(a, 0), s) for a, s in pairs) / 32
    assert affinity_loss(affinity, same).item() == pytest.approx(expected)


@given(seeds)
@settings(max_examples=10, deadline=None)
def test_foreground_loss_by_loops(seed):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(2, 3, 4, generator=generator, dtype=torch.float64)
    thing = torch.rand(2, 3, 4, generator=generator) < 0.5
    patches = zip(logits.flatten().tolist(), thing.flatten().tolist(), strict=True)
    expected = sum(cross_entropy(s, t) for s, t in patches) / 24
    assert foreground_loss(logits, thing).item() == pytest.approx(expected)


def vit() -> DINOEncoder:
    torch.manual_seed(1)
    model = build_dino_model(VIT).eval()
    with torch.no_grad():
        model.blocks[-1].attn.qkv.weight.mul_(10)
    return DINOEncoder(model, "vit")


def picture(seed: int, side: int) -> torch.Tensor:
    """Squares of eight pixels in colours drawn at random, uint8 (3, side, side)."""
    colours = torch.randint(256, (3, side // 8, side // 8), generator=torch.Generator().manual_seed(seed))
    return colours.byte().repeat_interleave(8, 1).repeat_interleave(8, 2)


@pytest.fixture(scope="module")
def pictures() -> list[torch.Tensor]:
    return [picture(i, 64) for i in range(4)]


def training(decoder: bool = True) -> DinoiserTraining:
    torch.manual_seed(2)
    return DinoiserTraining(
        build_random_clip("mini-clip"), Teachers(vit(), decoder=FoundDecoder(32) if decoder else None), inner=16
    )


def test_losses_are_those_of_heads_and_teacher(pictures):
    model = training()
    losses = model(pictures)
    encoder, teacher = model.frozen
    images = torch.stack(pictures).float() / 255
    tapped = encoder.maps(images, ["blocks.-3.ln_2"])["blocks.-3.ln_2"]
    same, thing = teacher.targets(images, encoder.patch_size)
    assert 0 < same.float().mean() < 1
    torch.testing.assert_close(losses["loss_affinity"], affinity_loss(model.heads.affinity(tapped), same))
    torch.testing.assert_close(losses["loss_foreground"], foreground_loss(model.heads.foreground(tapped), thing))
    assert set(training(decoder=False)(pictures)) == {"loss_affinity"}


def test_only_the_heads_are_trained_and_saved(pictures):
    model = training()
    assert set(model.state_dict()) == {
        f"heads.{head}.{name}" for head in ("obj_proj", "bkg_decoder") for name in ("weight", "bias")
    }
    sum(model(pictures).values()).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())
    for part in model.frozen:
        assert not part.train(False).training
        assert all(p.grad is None and not p.requires_grad for p in part.parameters())


def test_the_frozen_parts_follow_to_another_dtype():
    model = training().to(torch.float64)
    assert {p.dtype for part in (model, *model.frozen) for p in part.parameters()} == {torch.float64}


def test_blocks_behind_the_map_are_not_run(pictures):
    model = training()
    expected = model(pictures)
    visual = model.frozen[0].model.visual
    for index in (-1, -2):
        visual.transformer.resblocks[index] = nn.Identity()  # has none of the parts of a block
    assert model(pictures) == expected


def test_intermediates_are_those_of_the_whole_pass():
    encoder = build_random_clip("mini-clip")
    names, images = ["blocks.0", "blocks.-3.ln_2"], torch.rand(2, 3, 40, 50)
    whole = dense(encoder, images, MaskCLIPReadout(), names).maps
    alone = encoder.maps(images, names)
    assert all(torch.equal(whole[name], alone[name]) for name in names)
    with pytest.raises(UsageError, match="unknown map"):
        encoder.maps(images, ["blocks.-1"])


def test_the_heads_learn_what_the_teacher_tells(pictures):
    model = training()
    optimizer = torch.optim.AdamW(
        [{"params": model.heads.obj_proj.parameters(), "lr": 1e-3}, {"params": model.heads.bkg_decoder.parameters()}],
        lr=1e-2,
    )
    history = []
    for _ in range(15):
        losses = model(pictures)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        history.append([loss.item() for loss in losses.values()])
    assert all(last < first for first, last in zip(history[0], history[-1], strict=True))


@pytest.fixture(scope="module")
def material(tmp_path_factory) -> Path:
    """A folder of pictures, and files of a small teacher."""
    folder = tmp_path_factory.mktemp("material")
    (folder / "pictures").mkdir()
    for i in range(6):
        Image.fromarray(picture(i, 48).permute(1, 2, 0).numpy()).save(folder / "pictures" / f"{i}.png")
    save_file(vit().model.state_dict(), folder / "vit.safetensors")
    (folder / "vit.json").write_text(json.dumps(VIT))
    torch.save({"decoder": FoundDecoder(32).state_dict()}, folder / "found.pt")
    return folder


def options(material: Path, **more: Any) -> dict[str, Any]:
    """The shipped config with small parts: three iterations an epoch."""
    return {
        "model.encoder": {"_delete_": True, "type": "random-clip", "arch": "mini-clip"},
        "model.inner": 16,
        "model.teacher.encoder.weights": str(material / "vit.safetensors"),
        "model.teacher.foreground_encoder": None,
        "model.teacher.decoder.weights": str(material / "found.pt"),
        "train_dataloader.dataset": {"root": str(material / "pictures"), "count": 6, "size": 32},
        "train_dataloader.batch_size": 2,
        "train_dataloader.num_workers": 0,
        "train_cfg.max_epochs": 2,
        "default_hooks.logger.interval": 1,
        "log_level": "WARNING",
        **more,
    }


def test_the_recipe_is_the_published_one(material, tmp_path):
    """Optimizer, schedule and data of the config as it stands."""
    recipe = load_config("dinoiser_train")
    data = recipe.train_dataloader
    assert (data.batch_size, data.dataset["count"], data.dataset.size, data.dataset.brightness) == (16, 1000, 448, 0.5)
    assert recipe.train_cfg.max_epochs == 100
    cfg = load_config("dinoiser_train", options(material))
    cfg.work_dir = str(tmp_path)
    runner = SafeRunner.from_cfg(cfg)
    wrapper = runner.build_optim_wrapper(cfg.optim_wrapper)
    rates = {id(p): (group["lr"], group["weight_decay"]) for group in wrapper.param_groups for p in group["params"]}
    heads = runner.model.heads
    assert {rates[id(p)] for p in heads.obj_proj.parameters()} == {(5e-5, 0.01)}
    assert {rates[id(p)] for p in heads.bkg_decoder.parameters()} == {(1e-2, 0.01)}
    runner.optim_wrapper = wrapper
    (scheduler,) = runner.build_param_scheduler(cfg.param_scheduler)
    group = wrapper.param_groups[0]
    rate = group["lr"]
    for _ in range(4999):
        scheduler.step()
    assert group["lr"] == rate
    scheduler.step()
    assert group["lr"] == pytest.approx(0.1 * rate)


@HOOKS.register_module()
class StopAfterEpoch(Hook):
    """Kills the run when the first epoch has been saved."""

    priority = "LOWEST"

    def after_train_epoch(self, runner: Any) -> None:
        raise KeyboardInterrupt


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_resumed_training_ends_with_the_same_heads(material, tmp_path, accumulate):
    """Three iterations an epoch and, where two make a step, half a step at the end of the first epoch."""
    changed = options(material, **{"optim_wrapper.accumulative_counts": accumulate})
    straight = train("dinoiser_train", tmp_path / "a", options=changed).state_dict()
    with pytest.raises(KeyboardInterrupt):
        train("dinoiser_train", tmp_path / "b", options={**changed, "custom_hooks": [{"type": "StopAfterEpoch"}]})
    torch.manual_seed(99)
    resumed = train("dinoiser_train", tmp_path / "b", resume=True, options=changed).state_dict()
    assert all(torch.equal(straight[name], value) for name, value in resumed.items())
    first = torch.load(tmp_path / "b" / "epoch_1.pth", weights_only=True)
    assert len(first["gradients"]) == (4 if accumulate == 2 else 0)
    assert all(not torch.equal(first["state_dict"][name], value) for name, value in resumed.items())


def test_files_of_the_heads(material, tmp_path):
    model = train("dinoiser_train", tmp_path, options=options(material, **{"train_cfg.max_epochs": 1}))
    heads = build_dinoiser(tmp_path / "heads.safetensors")
    assert heads.encoder_id == "mini-clip@random:0"
    assert all(torch.equal(heads.state_dict()[k], v) for k, v in model.heads.state_dict().items())
    published = torch.load(tmp_path / "last.pt", weights_only=True)
    assert set(published) == {"epoch", "model_state_dict"}
    assert {name: tuple(value.shape) for name, value in published["model_state_dict"].items()} == {
        "obj_proj.weight": (16, 192, 3, 3),
        "obj_proj.bias": (16,),
        "bkg_decoder.weight": (1, 192, 1, 1),
        "bkg_decoder.bias": (1,),
    }
    assert all(torch.equal(heads.state_dict()[k], v) for k, v in load_state_dict(tmp_path / "last.pt").items())
    export(tmp_path / "epoch_1.pth", tmp_path / "again.safetensors")
    again = build_dinoiser(tmp_path / "again.safetensors")
    assert again.encoder_id == heads.encoder_id
    assert all(torch.equal(again.state_dict()[k], v) for k, v in heads.state_dict().items())
    export_heads(tmp_path / "epoch_1.pth", tmp_path / "again.pt")
    assert torch.load(tmp_path / "again.pt", weights_only=True)["epoch"] == published["epoch"] == 1
    with pytest.raises(UsageError, match=r"as \.safetensors"):
        write_heads(model.heads, tmp_path / "heads.bin", 1)


def test_heads_on_sub_patches(material, tmp_path):
    """The same recipe on sub-patches of 4 of 8 pixels, pairs within 2.5 of them: losses by all pairs, and the files."""
    fine = {"model.sub_patch": 4, "model.radius": 2.5, "train_cfg.max_epochs": 1}
    model = train("dinoiser_train", tmp_path, options=options(material, **fine))
    encoder, teacher = model.frozen
    images = torch.stack([picture(i, 32) for i in range(2)]).float() / 255
    tapped = encoder.maps(images, model.heads.needs.maps)[model.heads.layer]
    places = torch.cartesian_prod(torch.arange(8.0), torch.arange(8.0))
    near = torch.cdist(places, places) <= 2.5
    same, thing = teacher.targets(images, 8, 4)
    assert (same.shape, thing.shape) == ((2, 64, 64), (2, 4, 4))
    losses = model([picture(i, 32) for i in range(2)])
    expected = affinity_loss(model.heads.affinity(tapped, images), same, near)
    torch.testing.assert_close(losses["loss_affinity"], expected)
    torch.testing.assert_close(losses["loss_foreground"], foreground_loss(model.heads.foreground(tapped), thing))
    heads = build_dinoiser(tmp_path / "heads.safetensors")
    assert heads.sub_patch == 4
    export(tmp_path / "epoch_1.pth", tmp_path / "again.pt")
    assert build_dinoiser(tmp_path / "again.pt").sub_patch == 4
    for name, value in model.heads.state_dict().items():
        assert torch.equal(heads.state_dict()[name], value)


def test_checkpoints_without_heads(material, tmp_path):
    torch.save({"state_dict": {"layer.weight": torch.zeros(1)}}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="holds no heads"):
        export_heads(tmp_path / "other.pth", tmp_path / "x.pt")
    state = {f"heads.{name}": value for name, value in training().heads.state_dict().items()}
    state["heads.bkg_decoder.bias"] = torch.tensor([float("nan")])
    about = {"encoder": "x", "layer": "y"}
    torch.save({"state_dict": state, "heads": about, "meta": {"epoch": 1}}, tmp_path / "nan.pth")
    with pytest.raises(WeightsError, match=r"NaN .* bkg_decoder.bias"):
        export_heads(tmp_path / "nan.pth", tmp_path / "x.pt")


def test_in_bfloat16(material, tmp_path):
    model = train("dinoiser_train", tmp_path, amp=True, options=options(material, **{"train_cfg.max_epochs": 1}))
    assert all(p.dtype == torch.float32 and p.isfinite().all() for p in model.parameters())
    (log,) = tmp_path.glob("*/vis_data/scalars.json")
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    assert all(math.isfinite(entry["loss_affinity"] + entry["loss_foreground"]) for entry in entries)


def test_losses_in_tensorboard(material, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    backend = {"visualizer.vis_backends.0.type": "TensorboardVisBackend", "train_cfg.max_epochs": 1}
    train("dinoiser_train", tmp_path, options=options(material, **backend))
    (events,) = tmp_path.glob("*/vis_data/events*")
    written = EventAccumulator(str(events)).Reload()
    assert len(written.Scalars("loss_affinity")) == 3


@pytest.mark.parametrize("root", ["/nowhere", "empty"])
def test_a_folder_that_cannot_be_used(material, tmp_path, root):
    (tmp_path / "empty").mkdir()
    changed = options(material)
    changed["train_dataloader.dataset"] = {"root": root if root[0] == "/" else str(tmp_path / root)}
    with pytest.raises(UsageError, match=r"no such file or folder|no image"):
        train("dinoiser_train", tmp_path / "w", options=changed)


@pytest.mark.slow
def test_two_processes(root, material, tmp_path):
    """Two processes with one picture each take the steps of one process with both."""

    def trained(folder: str, batch: int, *launch: str) -> dict[str, torch.Tensor]:
        changed = options(material, **{"train_dataloader.batch_size": batch})
        pairs = [f"{key}={value!r}" if isinstance(value, dict) else f"{key}={value}" for key, value in changed.items()]
        command = [sys.executable, *launch, root / "tools" / "train.py", "dinoiser_train", "--work-dir", folder]
        more = ["--launcher", "pytorch"] if launch else []
        done = subprocess.run(
            [*map(str, command), *more, "--cfg-options", *pairs], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return load_file(tmp_path / folder / "heads.safetensors")

    one = trained("one", 2)
    two = trained("two", 1, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29617")
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=1e-5)
