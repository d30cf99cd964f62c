"""Guides that are ViTs, against timm's own forward pass: every part, registers, rotary positions, what is kept."""

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models import VisionTransformer

from densevl.core.errors import UsageError, WeightsError
from densevl.core.registry import build
from densevl.dense.contracts import Guide
from densevl.dense.guides import GUIDES
from densevl.dense.guides.kept import KEPT, Kept
from densevl.dense.guides.vit import PARTS, ViTGuide
from densevl.encoders.dino import DINOEncoder, build_dino, build_dino_model
from densevl.weights import weights_table

TINY = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 3, "num_heads": 4}
MEAN, STD = torch.tensor([0.485, 0.456, 0.406])[:, None, None], torch.tensor([0.229, 0.224, 0.225])[:, None, None]


def shaken(model):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        for parameter in model.parameters():
            parameter.data.add_(0.1 * torch.randn(parameter.shape))
    return model.eval().requires_grad_(False)


def tiny(kind="dino"):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if kind == "dinov3":
            small = {"embed_dim": 48, "depth": 3, "num_heads": 4, "img_size": 32, "num_classes": 0}
            return shaken(timm.create_model("vit_small_patch16_dinov3", **small))
        registers = {"reg_tokens": 4, "no_embed_class": True, "init_values": 0.1} if kind == "dinov2" else {}
        return shaken(VisionTransformer(num_classes=0, **TINY, **registers))


def pictures(height=32, width=32, count=2):
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("kind", ["dino", "dinov2", "dinov3"])
def test_tokens_are_those_of_the_library(kind):
    model, images = tiny(kind), pictures()
    guide = ViTGuide(model, kind)
    assert isinstance(guide, Guide)
    found = guide(images)
    expected = model.forward_features((images - MEAN) / STD)[:, model.num_prefix_tokens :]
    torch.testing.assert_close(found.grid.flatten(2).mT, expected, rtol=1e-4, atol=1e-5)
    assert found.extent == (0, 0, 32, 32)
    assert found.patch_size == guide.patch_size == model.patch_embed.patch_size[0]


@pytest.mark.parametrize("kind", ["dino", "dinov2"])
def test_queries_keys_and_values_are_those_of_the_library(kind):
    model, images, seen = tiny(kind), pictures(), []
    handle = model.blocks[-1].attn.qkv.register_forward_hook(lambda *call: seen.append(call[-1]))
    model((images - MEAN) / STD)
    handle.remove()
    parts = dict(zip(("query", "key", "value"), seen[0][:, model.num_prefix_tokens :].chunk(3, dim=2), strict=True))
    parts["query+key"] = parts["query"] + parts["key"]
    for part, expected in parts.items():
        found = ViTGuide(model, kind, part)(images).grid.flatten(2).mT
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("part", [part for part in PARTS if part not in ("tokens", "query+key")])
def test_dino_is_what_the_teachers_read(part):
    model, images = tiny(), pictures(40, 24)
    found = ViTGuide(model, "x", part)(images).grid
    torch.testing.assert_close(found, DINOEncoder(model, "x").project(images, part))


def test_queries_and_keys_are_rotated_to_their_places():
    model = tiny("dinov3")
    alike = torch.full((1, 3, 64, 48), 0.5)
    keys, values = (ViTGuide(model, "dinov3", part)(alike).grid for part in ("key", "value"))
    assert keys.shape == (1, 48, 4, 3)
    assert (keys[..., 1:, :] - keys[..., :-1, :]).abs().max() > 0.1
    assert values.isfinite().all()


@pytest.mark.parametrize("kind", ["dino", "dinov2", "dinov3"])
def test_each_image_of_a_batch_for_itself_at_any_size(kind):
    guide = ViTGuide(tiny(kind), kind)
    images = pictures(3 * guide.patch_size - 3, 2 * guide.patch_size + 3)
    found = guide(images)
    assert found.grid.shape[2:] == (3, 2)
    assert found.extent == (0, 0, images.shape[3], images.shape[2])
    torch.testing.assert_close(found.grid[1:], guide(images[1:]).grid, rtol=1e-4, atol=1e-5)
    assert guide(images[:, :, :3, :2]).grid.shape[2:] == (1, 1)


def test_an_encoder_runs_once_for_the_same_images():
    KEPT.clear()
    model, images, runs = tiny(), pictures(), []
    model.blocks[0].register_forward_pre_hook(lambda *call: runs.append(call))
    first = model.blocks[0].norm1
    first.register_forward_pre_hook(lambda *call: runs.append(call))
    one = ViTGuide(model, "once", "tokens")(images).grid
    assert len(runs) == 1
    torch.testing.assert_close(ViTGuide(model, "once", "tokens")(images.clone()).grid, one)
    ViTGuide(model, "once", "key")(images)
    assert len(runs) == 1
    images[0, 0, 0, 0] += 1
    changed = ViTGuide(model, "once", "tokens")(images).grid
    assert len(runs) == 2
    assert not torch.equal(changed, one)
    ViTGuide(model, "another", "tokens")(images)
    assert len(runs) == 3


def test_what_is_kept_is_bounded():
    kept, made = Kept(most=3 * 4 * (12 + 12)), []

    def ask(value):
        images = torch.full((1, 3, 2, 2), float(value))
        return kept.get("maker", images, lambda: made.append(value) or (images * 2, (2, 2)))

    with torch.no_grad():
        for value in (1, 2, 3, 1, 4, 1, 2):
            ask(value)
        assert made == [1, 2, 3, 4, 2]
        assert kept.bytes <= kept.most
        assert len(kept) == 3
        large = torch.zeros(1, 3, 10, 10)
        kept.get("maker", large, lambda: (large,))
        assert len(kept) == 3
    kept.clear()
    assert kept.bytes == 0


def test_by_name(tmp_path):
    save_file(tiny().state_dict(), tmp_path / "small.safetensors")
    guide = build(GUIDES, {"type": "dino", "weights": str(tmp_path / "small.safetensors"), "arch": TINY, "part": "key"})
    same = build_dino(tmp_path / "small.safetensors", TINY)
    images = pictures()
    torch.testing.assert_close(guide(images).grid, same.project(images, "key"))
    assert guide.name == f"guide({same.model_id}, part=key, positions=plus)"
    random = build(GUIDES, {"type": "dino", "weights": "random:3", "arch": TINY})
    again = build(GUIDES, {"type": "dino", "weights": "random:3", "arch": TINY})
    assert random.name == again.name
    assert torch.equal(random.model.pos_embed, again.model.pos_embed)


def test_files_of_dinov2_as_they_were_published(tmp_path):
    """The class token's position is apart from it, and registers have another name."""
    model = tiny("dinov2")
    state = {name.replace("reg_token", "register_tokens"): value for name, value in model.state_dict().items()}
    state["pos_embed"] = torch.cat([torch.full((1, 1, 48), 0.25), state["pos_embed"]], dim=1)
    state["cls_token"] = state["cls_token"] - 0.25
    state["mask_token"] = torch.zeros(1, 48)
    save_file({name: value.contiguous() for name, value in state.items()}, tmp_path / "published.safetensors")
    arch = {**TINY, "reg_tokens": 4, "no_embed_class": True, "init_values": 0.1}
    guide = build(GUIDES, {"type": "dinov2", "weights": str(tmp_path / "published.safetensors"), "arch": arch})
    images = pictures()
    expected = ViTGuide(model, "timm's")(images).grid
    torch.testing.assert_close(guide(images).grid, expected, rtol=1e-4, atol=1e-5)


def test_unusable_settings(tmp_path):
    with pytest.raises(UsageError, match="part must be one of query, key, value"):
        ViTGuide(tiny(), "x", part="mlp")
    with pytest.raises(UsageError, match="positions must be one of"):
        ViTGuide(tiny(), "x", positions="cubic")
    with pytest.raises(UsageError, match="random weights have no architecture"):
        build(GUIDES, {"type": "dino", "weights": "random:0"})
    with pytest.raises(UsageError, match="no adapter is known"):
        ViTGuide(timm.create_model("resnet18"), "x")
    with pytest.raises(UsageError, match=r"guide 'dinov' is unknown; did you mean"):
        build(GUIDES, "dinov")
    save_file({"x": torch.zeros(1)}, tmp_path / "a.safetensors")
    with pytest.raises(WeightsError, match="made for another model"):
        build(GUIDES, {"type": "dino", "weights": str(tmp_path / "a.safetensors"), "arch": TINY})


@pytest.mark.parametrize("name", [name for name, entry in weights_table().items() if entry.kind == "dino"])
def test_rows_of_weights_are_models_of_timm(name):
    entry = weights_table()[name]
    with torch.device("meta"):
        model = build_dino_model(entry.arch)
    assert sum(parameter.numel() for parameter in model.parameters()) == entry.parameters
    if entry.repository is not None:
        tag = entry.repository.rpartition(".")[2]
        theirs = timm.get_pretrained_cfg(f"{entry.arch}.{tag}")
        assert theirs.hf_hub_id == entry.repository
        assert (tuple(theirs.mean), tuple(theirs.std)) == (entry.mean, entry.std)
