"""DINO encoders against timm's own forward pass, and against a bicubic interpolation written out."""

import json
import math

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models import VisionTransformer

from densevl.core.errors import UsageError, WeightsError
from densevl.encoders.dino import DINOEncoder, build_dino, build_dino_model
from densevl.weights import weights_entry

TINY = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 3, "num_heads": 4}
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


def shaken(model: VisionTransformer) -> VisionTransformer:
    """Every parameter away from its neutral value."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def upstream(model: VisionTransformer, images: torch.Tensor) -> torch.Tensor:
    """Queries, keys and values as timm's forward pass makes them, with the class token."""
    seen = []
    handle = model.blocks[-1].attn.qkv.register_forward_hook(lambda *call: seen.append(call[-1]))
    with torch.no_grad():
        model((images - MEAN[:, None, None]) / STD[:, None, None])
    handle.remove()
    return seen[0]


@pytest.fixture(scope="module")
def tiny() -> DINOEncoder:
    torch.manual_seed(0)
    return DINOEncoder(shaken(VisionTransformer(num_classes=0, **TINY)), "tiny")


def bicubic(grid: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """Bicubic interpolation (a = -0.75) of (h, w, c), as DINO resizes its position embedding."""

    def weight(x: float) -> float:
        x = abs(x)
        if x <= 1:
            return (1.25 * x - 2.25) * x * x + 1
        return ((-0.75 * x + 3.75) * x - 6) * x + 3 if x < 2 else 0.0

    def matrix(to: int, side: int) -> torch.Tensor:
        result = torch.zeros(to, side)
        for i in range(to):
            place = (i + 0.5) * side / (to + 0.1) - 0.5
            for j in range(math.floor(place) - 1, math.floor(place) + 3):
                result[i, min(max(j, 0), side - 1)] += weight(place - j)
        return result

    down, right = matrix(rows, grid.shape[0]), matrix(columns, grid.shape[1])
    return torch.einsum("ih,jw,hwc->ijc", down, right, grid)


def at_size(model: VisionTransformer, size: tuple[int, int]) -> VisionTransformer:
    """The model built by timm for another size, with the position embedding that DINO has there."""
    side, grid = model.patch_embed.patch_size[0], model.patch_embed.grid_size
    first = model.blocks[0].attn
    other = VisionTransformer(
        size, side, num_classes=0, embed_dim=model.embed_dim, depth=len(model.blocks), num_heads=first.num_heads
    )
    state, rows, columns = dict(model.state_dict()), size[0] // side, size[1] // side
    native = state["pos_embed"]
    if (rows, columns) != grid:
        resized = bicubic(native[0, 1:].unflatten(0, grid), rows, columns).flatten(0, 1)
        state["pos_embed"] = torch.cat([native[:, :1], resized[None]], dim=1)
    other.load_state_dict(state)
    return other.eval()


def check_against_upstream(encoder: DINOEncoder, model: VisionTransformer, images: torch.Tensor) -> None:
    expected = upstream(model, images)[:, 1:].chunk(3, dim=2)
    for part, tokens in zip(("query", "key", "value"), expected, strict=True):
        found = encoder.project(images, part)
        assert found.shape[1:] == (encoder.width, *(side // encoder.patch_size for side in images.shape[2:]))
        torch.testing.assert_close(found.flatten(2).mT, tokens, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("arch", "side"),
    [
        ("vit_small_patch8_224", 40),
        pytest.param("vit_small_patch8_224", 224, marks=pytest.mark.slow),
        pytest.param("vit_base_patch16_224", 224, marks=pytest.mark.slow),
        pytest.param("vit_base_patch8_224", 224, marks=pytest.mark.slow),
    ],
)
def test_a_file_of_the_real_layout(arch, side, tmp_path):
    """Names and shapes of timm's DINO weights, with values drawn at random."""
    torch.manual_seed(0)
    with torch.device("meta"):
        layout = timm.create_model(f"{arch}.dino", pretrained=False).state_dict()
    save_file({name: 0.05 * torch.randn(value.shape) for name, value in layout.items()}, tmp_path / "dino.safetensors")
    encoder = build_dino(tmp_path / "dino.safetensors", arch)
    assert encoder.model_id.startswith(f"{arch}@")
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    check_against_upstream(encoder, at_size(encoder.model, (side, side)), torch.rand(1, 3, side, side))


def test_weights_table_knows_the_architectures():
    archs = {"b16": "base_patch16", "b8": "base_patch8", "s8": "small_patch8", "s8-300ep": "small_patch8"}
    for name, arch in archs.items():
        entry = weights_entry(f"dino-vit-{name}")
        with torch.device("meta"):
            model = build_dino_model(entry.arch)
        assert entry.arch == f"vit_{arch}_224"
        assert entry.parameters == sum(parameter.numel() for parameter in model.parameters())
        assert entry.mean == pytest.approx(MEAN.tolist())
        assert entry.std == pytest.approx(STD.tolist())


@pytest.mark.parametrize("size", [(32, 32), (40, 56), (16, 24)])
def test_any_size(tiny, size):
    check_against_upstream(tiny, at_size(tiny.model, size), torch.rand(2, 3, *size))


def test_images_are_padded_in_black(tiny):
    images = torch.rand(1, 3, 37, 50)
    padded = torch.nn.functional.pad(images, (0, 6, 0, 3))
    assert torch.equal(tiny.project(images, "key"), tiny.project(padded, "key"))


def test_a_batch_gives_what_its_images_give(tiny):
    images = torch.rand(3, 3, 40, 32)
    whole = tiny.project(images, "value")
    single = torch.cat([tiny.project(image[None], "value") for image in images])
    torch.testing.assert_close(whole, single, rtol=1e-4, atol=1e-6)


def test_bfloat16_is_near(tiny):
    images = torch.rand(1, 3, 40, 32)
    exact = tiny.project(images, "value")
    model = build_dino_model(TINY).eval()
    model.load_state_dict(tiny.model.state_dict())
    rounded = DINOEncoder(model.bfloat16(), "tiny").project(images, "value")
    assert rounded.dtype == torch.bfloat16
    assert torch.nn.functional.cosine_similarity(rounded.float(), exact, dim=1).min() > 0.99


def test_no_gradients(tiny):
    assert not tiny.project(torch.rand(1, 3, 32, 32).requires_grad_(), "key").requires_grad


def test_a_small_model_with_its_config_beside_it(tmp_path):
    arguments = {**TINY, "stem": [8, 16]}
    torch.manual_seed(0)
    model = build_dino_model(arguments)
    save_file(model.state_dict(), tmp_path / "small.safetensors")
    images = torch.rand(1, 3, 40, 32)
    given = build_dino(tmp_path / "small.safetensors", arguments)
    (tmp_path / "small.json").write_text(json.dumps(arguments))
    found = build_dino(tmp_path / "small.safetensors")
    assert given.model_id == found.model_id
    expected = DINOEncoder(model.eval(), "x").project(images, "key")
    assert torch.equal(given.project(images, "key"), expected)
    assert torch.equal(found.project(images, "key"), expected)


@pytest.mark.parametrize("text", ["no json", "[1]"])
def test_an_unusable_config_beside_the_weights(tmp_path, text):
    save_file({"x": torch.zeros(1)}, tmp_path / "a.safetensors")
    with pytest.raises(UsageError, match="say which architecture"):
        build_dino(tmp_path / "a.safetensors")
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(WeightsError, match=r"a\.json"):
        build_dino(tmp_path / "a.safetensors")


def test_weights_of_another_architecture(tmp_path):
    save_file(build_dino_model(TINY).state_dict(), tmp_path / "a.safetensors")
    with pytest.raises(WeightsError, match="made for another model"):
        build_dino(tmp_path / "a.safetensors", {**TINY, "embed_dim": 64})


def test_unusable_architectures():
    with pytest.raises(UsageError, match="unknown to timm; did you mean"):
        build_dino_model("vit_smal_patch8_224")
    with pytest.raises(UsageError, match="no VisionTransformer"):
        build_dino_model({"width": 3})
    with pytest.raises(UsageError, match="register tokens"):
        DINOEncoder(VisionTransformer(num_classes=0, reg_tokens=2, **TINY), "x")
    with pytest.raises(UsageError, match="expected a VisionTransformer"):
        DINOEncoder(timm.create_model("resnet18"), "x")


def test_unknown_part(tiny):
    with pytest.raises(UsageError, match="query, key, value; got 'mlp'"):
        tiny.project(torch.rand(1, 3, 32, 32), "mlp")
