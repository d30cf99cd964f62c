"""Towers of timm against timm: whole images, other sizes, blocks by their pieces, one patch alone."""

import copy

import jaxtyping
import pytest
import timm
import torch
from torch import nn
from toys.timm_towers import KINDS, OF_CONVOLUTIONS, OF_VITS, timm_clip, timm_trunk, timm_visual

from densevl.core.attention import NoAttention, run_block
from densevl.core.errors import UsageError
from densevl.encoders.contracts import ConvolutionalTower, ImageTower, Needs
from densevl.encoders.towers import image_tower

ROTARY = ("eva02", "pe", "pe-g", "learned-rope")


def assert_near(found, expected, tolerance=1e-5):
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= tolerance * expected.abs().max()


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module", params=KINDS)
def visual(request):
    return timm_visual(request.param)


@pytest.fixture(scope="module", params=OF_VITS)
def vit(request):
    return image_tower(timm_visual(request.param))


def behind_all_blocks(tower, images, positions="size"):
    x, grid = tower.tokens(images, positions)
    for block in tower.blocks_on(grid, positions):
        x = run_block(block, x)["out"]
    return x


def rope_of_block(trunk, grid, index):
    """The rotary embedding that timm itself gives a block on another grid."""
    trunk.set_input_size(img_size=tuple(side * trunk.patch_embed.patch_size[0] for side in grid))
    _, rope = trunk._pos_embed(torch.zeros(1, grid[0] * grid[1], trunk.embed_dim))
    return rope[index] if trunk.rope_mixed else rope


def test_whole_images_are_those_of_timm(visual):
    tower = image_tower(visual)
    images = noise(2, 3, *visual.image_size)
    assert_near(tower.embed(images), visual(images))
    assert tower.dim == visual(images).shape[1]
    assert isinstance(tower, ImageTower)


def test_images_of_another_size_are_those_of_timm(visual):
    """timm resizes positions with antialiasing, and gives rotary embeddings the grid."""
    tower = image_tower(visual)
    size = (5 * tower.patch_size, 2 * tower.patch_size)
    images = noise(2, 3, *size)
    if isinstance(tower, ConvolutionalTower):
        assert_near(tower.embed(images), visual(images))
        return
    other = copy.deepcopy(visual)
    other.trunk.set_input_size(img_size=size)
    before = tower.embed(noise(1, 3, *visual.image_size))
    assert_near(tower.pool(behind_all_blocks(tower, images, "antialias")), other(images), 1e-4)
    assert torch.equal(tower.embed(noise(1, 3, *visual.image_size)), before)


def test_a_batch_equals_its_images(visual):
    tower = image_tower(visual)
    images = noise(2, 3, *visual.image_size)
    assert_near(tower.embed(images), torch.cat([tower.embed(image[None]) for image in images]), 1e-5)


def test_a_block_by_its_pieces_is_timm_s_own(vit):
    grid = (2, 5)
    x = noise(2, vit.prefix + 10, vit.width)
    own = copy.deepcopy(vit.trunk)
    for index, view in enumerate(vit.blocks_on(grid)):
        given = {} if getattr(own, "rope", None) is None else {"rope": rope_of_block(own, grid, index)}
        assert_near(run_block(view, x)["out"], own.blocks[index](x, **given))


def test_one_token_alone(vit):
    """Its value is all that it gathers, whatever its place."""
    x = noise(2, 1, vit.width)
    for view, block in zip(vit.blocks_on((3, 3)), vit.trunk.blocks, strict=True):
        values = view.out(*view.qkv(view.norm_1(x), "v"))
        hidden = x + values
        assert_near(hidden + view.mlp(view.norm_2(hidden)), block(x))


def test_queries_keys_and_values_one_by_one(vit):
    x = noise(1, vit.prefix + 6, vit.width)
    view = vit.blocks_on((2, 3))[0]
    together = view.qkv(x)
    for letter, expected in zip("qkv", together, strict=True):
        assert_near(view.qkv(x, letter)[0], expected)
    key, query = view.qkv(x, "kq")
    assert torch.equal(key, view.qkv(x, "k")[0])
    assert torch.equal(query, view.qkv(x, "q")[0])


@pytest.mark.parametrize("kind", ROTARY)
def test_places_of_the_patches_turn_queries_and_keys_and_nothing_else(kind):
    tower = image_tower(timm_visual(kind))
    x = noise(1, 1, tower.width).expand(1, tower.prefix + 6, tower.width)
    down, right = (tower.blocks_on(grid)[1].qkv(x) for grid in ((6, 1), (1, 6)))
    for tall, wide in zip(down[:2], right[:2], strict=True):
        assert torch.equal(tall[:, :, : tower.prefix], wide[:, :, : tower.prefix])
        assert not torch.allclose(tall[:, :, -2], wide[:, :, -2])
        torch.testing.assert_close(tall.norm(dim=-1), wide.norm(dim=-1))
    assert torch.equal(down[2], right[2])


@pytest.mark.parametrize("kind", ["siglip", "pe", "pe-g"])
def test_a_patch_alone_through_the_pooling_head_is_the_pooled_embedding_of_it(kind):
    tower = image_tower(timm_visual(kind))
    tokens = noise(2, 4, tower.width)
    alone = torch.stack([tower.pool(tokens[:, index : index + 1]) for index in range(4)], dim=1)
    assert_near(tower.to_joint(tokens), alone)


@pytest.mark.parametrize("kind", OF_CONVOLUTIONS)
def test_the_mean_of_the_cells_is_the_embedding_of_the_image(kind):
    visual = timm_visual(kind)
    tower = image_tower(visual)
    images = noise(2, 3, 128, 192)
    tokens, grid = tower.tokens(images)
    assert grid == (128 // tower.patch_size, 192 // tower.patch_size)
    assert_near(tower.to_joint(tokens).mean(1), visual(images))


@pytest.mark.parametrize("kind", OF_CONVOLUTIONS)
def test_maps_of_a_tower_of_convolutions_lie_on_grids_of_their_own(kind):
    encoder = timm_clip(kind)
    seen = {}
    blocks = [block for stage in encoder.image.trunk.stages for block in stage.blocks]
    for index, block in enumerate(blocks):
        block.register_forward_hook(lambda _, __, out, index=index: seen.update({f"blocks.{index}": out}))
    assert encoder.depth == len(blocks)
    last = encoder.last_block(torch.rand(1, 3, 128, 128), Needs(maps=("blocks.0", "blocks.-1")))
    assert isinstance(last.block, NoAttention)
    assert torch.equal(last.maps["blocks.0"], seen["blocks.0"])
    assert torch.equal(last.maps["blocks.-1"], seen[f"blocks.{encoder.depth - 1}"])
    assert last.maps["blocks.0"].shape[2:] == (32, 32)
    maps = encoder.maps(torch.rand(1, 3, 128, 128), ["blocks.1"])
    assert maps["blocks.1"].shape[2:] == (16, 16)
    for name in ("blocks.0.ln_2", f"blocks.{encoder.depth}"):
        with pytest.raises(UsageError, match=rf"unknown map '{name}'; write `blocks.<index>` with an index from 0 to"):
            encoder.maps(torch.rand(1, 3, 64, 64), [name])
    with pytest.raises(UsageError, match="positions=plus resizes a position embedding"):
        encoder.last_block(torch.rand(1, 3, 64, 64), positions="plus")


def test_the_head_of_one_normalisation_and_one_projection():
    tower = image_tower(timm_visual("laclip"))
    norm, projection = tower.head()
    tokens = noise(2, 3, tower.width)
    assert_near(norm(tokens) @ projection, tower.to_joint(tokens))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("siglip", "more than a normalisation and a projection .* such as a pooling attention; take a CLIP without"),
        ("pe", "more than a normalisation and a projection"),
        ("eva02", "has a bias; take a CLIP without"),
        ("mobileclip-s", "a FastViT has no last normalisation to start from; take a CLIP with a ViT"),
    ],
)
def test_another_head_is_refused(kind, message):
    with pytest.raises(UsageError, match=message):
        image_tower(timm_visual(kind)).head()


def wrapped(trunk):
    visual = nn.Module()
    visual.trunk, visual.head = trunk, nn.Sequential()
    return visual


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("vit_base_patch16_224", {"patch_size": (16, 8)}, r"patches must be square; got \(16, 8\)"),
        (
            "vit_base_patch16_224",
            {"attn_layer": "diff"},
            "timm's Block with Attention without gates; got DiffAttention",
        ),
        ("vit_small_patch16_224", {"block_fn": timm.models.vision_transformer.ResPostBlock}, "got ResPostBlock"),
        ("resnet18", {}, "no adapter is known for an image tower of ResNet; there are .*Eva, FastVit"),
        ("fastvit_t8", {"global_pool": "max"}, "FastVit of timm that pools by a mean; got max"),
    ],
)
def test_other_models_are_refused(name, settings, message):
    with torch.device("meta"):
        trunk = timm.create_model(name, **settings)
    with pytest.raises(UsageError, match=message):
        image_tower(wrapped(trunk))


def test_gates_are_refused():
    trunk = timm_trunk("eva02")
    trunk.blocks[1].attn.gate = nn.Linear(32, 32)
    with pytest.raises(UsageError, match=r"EvaBlock or EvaBlockPostNorm with .* without gates; got gates"):
        image_tower(wrapped(trunk))


def test_half_precision_turns_as_timm_does():
    visual = timm_visual("eva02").to(torch.bfloat16)
    images = noise(1, 3, 48, 48).to(torch.bfloat16)
    assert_near(image_tower(visual).embed(images), visual(images), 0.03)


class Patches(nn.Module):
    """Patches in the joint space."""

    def __init__(self, visual):
        super().__init__()
        self.visual, self.tower = visual, image_tower(visual)

    def forward(self, images):
        return self.tower.to_joint(behind_all_blocks(self.tower, images))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["eva02", "pe"])
def test_a_graph_takes_images_of_any_size(kind, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # sides of a graph are symbols, not numbers
    module = Patches(timm_visual(kind))
    side = module.tower.patch_size
    dynamic = torch.export.Dim.DYNAMIC
    graph = torch.export.export(
        module, (noise(2, 3, 4 * side, 6 * side),), dynamic_shapes=({0: dynamic, 2: dynamic, 3: dynamic},), strict=False
    )
    images = noise(1, 3, 7 * side, 3 * side)
    assert_near(graph.module()(images), module(images))
