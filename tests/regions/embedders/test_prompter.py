"""The prompter: hints of every kind, against the plain layer, by batches, chunks and padding."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import normalize

from densevl.core.errors import UsageError, WeightsError
from densevl.core.features import TextEmbeddings, check_same_model
from densevl.core.geometry import fit_square, mask_coverage
from densevl.core.regions import Regions
from densevl.core.vocabulary import Vocabulary
from densevl.regions.embedders import prompter as module
from densevl.regions.embedders.promptable import PromptableCLIP
from densevl.regions.embedders.prompted import PromptedRegions, load_prompter, save_prompter
from densevl.regions.embedders.prompter import Prompter, sinusoids


def made(seed: int = 0, width: int = 12, dim: int = 8, **settings) -> Prompter:
    torch.manual_seed(seed)
    return Prompter(width, dim, **settings).double().eval()


@pytest.fixture
def grid() -> torch.Tensor:
    return torch.randn(3, 12, 4, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.fixture
def boxes() -> torch.Tensor:
    corners = torch.rand(3, 6, 2, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return torch.cat([corners.amin(2), corners.amax(2)], dim=-1)


@pytest.mark.parametrize("pool", ["all", "hint", "image"])
@pytest.mark.parametrize("corner_tokens", [1, 2])
def test_the_layer_is_the_transformer_layer_of_torch(grid, boxes, pool, corner_tokens):
    prompter = made(pool=pool, corner_tokens=corner_tokens)
    layer = nn.TransformerEncoderLayer(12, 1, 48, 0.0, "gelu", batch_first=True, norm_first=True).double().eval()
    with torch.no_grad():
        for target, source in (
            (layer.self_attn.in_proj_weight, prompter.attend.weight),
            (layer.self_attn.in_proj_bias, prompter.attend.bias),
        ):
            target.copy_(source)
        for target, source in (
            (layer.self_attn.out_proj, prompter.mix),
            (layer.linear1, prompter.mlp[0]),
            (layer.linear2, prompter.mlp[2]),
            (layer.norm1, prompter.ln_1),
            (layer.norm2, prompter.ln_2),
        ):
            target.load_state_dict(source.state_dict())
        hints = prompter.boxes(boxes)
        assert hints.shape == (3, 6, corner_tokens, 12)
        found = prompter(grid, hints)
        for image in range(3):
            for hint in range(6):
                sequence = torch.cat([hints[image, hint], grid[image].flatten(1).T])
                out = prompter.ln_post(layer(sequence[None])[0])
                some = {"all": out, "hint": out[:corner_tokens], "image": out[corner_tokens:]}[pool]
                expected = normalize(prompter.project(some.mean(0)), dim=0)
                torch.testing.assert_close(found[image, hint], expected)


@pytest.mark.parametrize("placed", [False, True])
def test_hints_alone_give_what_all_tokens_would(grid, boxes, placed):
    prompter = made(pool="hint", placed=placed, gain=0.5)
    with torch.no_grad():
        for weight in prompter.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    hints = torch.cat([prompter.boxes(boxes), prompter.points(boxes.unflatten(2, (2, 2)))], dim=2)
    real = torch.rand(3, 6, 4, generator=torch.Generator().manual_seed(3)) > 0.3
    real[..., 0] = True
    found = prompter(grid, hints, real)
    places = prompter._places(grid)
    for image in range(3):
        for hint in range(6):
            there = hints[image, hint][real[image, hint]]
            tokens = torch.cat([there, grid[image].flatten(1).T])
            projected = prompter.attend(prompter.ln_1(tokens))
            if placed:
                projected[len(there) :] += prompter.attend_places(places)
            query, key, value = projected.chunk(3, dim=-1)
            x = tokens + prompter.mix((query @ key.T / 12**0.5).softmax(-1) @ value)
            x = prompter.ln_post(x + prompter.mlp(prompter.ln_2(x)))[: len(there)]
            torch.testing.assert_close(found[image, hint], normalize(prompter.project(x.mean(0)), dim=0))


@pytest.mark.parametrize("pool", ["all", "hint"])
def test_batches_chunks_and_padding_change_nothing(grid, boxes, monkeypatch, pool):
    prompter = made(placed=True, pool=pool)
    hints = prompter.boxes(boxes)
    whole = prompter(grid, hints)
    torch.testing.assert_close(whole[1:2], prompter(grid[1:2], hints[1:2]))
    torch.testing.assert_close(whole[:, 2:3], prompter(grid, hints[:, 2:3]))
    monkeypatch.setattr(module, "AT_ONCE", 1)
    monkeypatch.setattr(module, "HINTS_AT_ONCE", 1)
    torch.testing.assert_close(prompter(grid, hints), whole)
    padded = torch.cat([hints, torch.full_like(hints[:, :, :1], 1e3)], dim=2)
    real = torch.tensor([True, True, False]).expand(3, 6, 3)
    torch.testing.assert_close(prompter(grid, padded, real), whole)
    assert prompter(grid, hints[:, :0]).shape == (3, 0, 8)


def test_hints_of_every_kind_are_unit_vectors_and_differ(grid, boxes):
    prompter = made()
    shares = torch.rand(3, 6, 4, 5, dtype=torch.float64)
    hints = [
        prompter.boxes(boxes),
        prompter.points(boxes[:, :, None, :2]),
        prompter.masks(grid, shares),
        prompter.texts(normalize(torch.randn(3, 6, 8, dtype=torch.float64), dim=-1)),
    ]
    vectors = torch.stack([prompter(grid, some) for some in hints])
    torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(4, 3, 6, dtype=torch.float64))
    flat = vectors.flatten(0, 2)
    assert torch.pdist(flat).min() > 1e-4


def test_the_order_of_points_and_unseen_tokens_of_a_mask_do_not_matter(grid, boxes):
    prompter = made()
    points = boxes[:, :, None].expand(-1, -1, 2, -1).unflatten(3, (2, 2)).flatten(2, 3)
    torch.testing.assert_close(prompter(grid, prompter.points(points)), prompter(grid, prompter.points(points.flip(2))))
    shares = torch.zeros(3, 1, 4, 5, dtype=torch.float64)
    shares[..., 1, 2] = 0.3
    alone = prompter.of_mask(grid[:, :, 1, 2]) + prompter.kinds[4]
    torch.testing.assert_close(prompter.masks(grid, shares)[:, 0, 0], alone)
    assert prompter.masks(grid, shares * 0).isfinite().all()


def test_sinusoids_by_hand():
    found = sinusoids(torch.tensor([[0.25, 0.5]]), 2, 0.5)
    angles = torch.tensor([0.25 * torch.pi, 0.25 * 4 * torch.pi, 0.5 * torch.pi, 0.5 * 4 * torch.pi])
    expected = torch.cat([angles[:2].sin(), angles[:2].cos(), angles[2:].sin(), angles[2:].cos()])
    torch.testing.assert_close(found[0], expected)


def test_a_prompter_can_be_taught(grid, boxes):
    prompter = made(pool="hint")
    wanted = normalize(torch.randn(3, 6, 8, dtype=torch.float64), dim=-1)
    optimizer = torch.optim.Adam(prompter.parameters(), 1e-2)
    for _ in range(40):
        optimizer.zero_grad()
        loss = (prompter(grid, prompter.boxes(boxes)) - wanted).square().sum(-1).mean()
        loss.backward()
        optimizer.step()
    assert loss < 0.2


@pytest.fixture(scope="module")
def promptable(mini) -> PromptableCLIP:
    torch.manual_seed(0)
    return PromptableCLIP(mini, Prompter(mini.width, mini.dim).eval(), side=64)


def test_tokens_become_dense_features(mini):
    images = torch.rand(2, 3, 40, 64, generator=torch.Generator().manual_seed(0))
    grid = mini.tokens(images)
    assert grid.shape == (2, mini.width, 5, 8)
    visual = mini.model.visual
    square = torch.rand(2, 3, 128, 128)
    pooled = visual.ln_post(mini.tokens(square).flatten(2).mT).mean(1) @ visual.proj
    torch.testing.assert_close(normalize(pooled, dim=1), mini.embed_images(square), rtol=1e-3, atol=1e-5)


def test_images_of_other_sizes_and_numbers_of_regions_make_one_batch(promptable, scene, regions):
    wide, none = np.ascontiguousarray(scene.image[:40]), Regions(torch.zeros(0, 4), (40, 96))
    some = Regions.from_boxes([[3, 4, 50, 40], [60, 1, 96, 33.5]], (40, 96))
    images = [scene.image, wide, wide]
    encoded = promptable.encode(images)
    together = promptable.embed(encoded, [regions, some, none])
    assert [len(found) for found in together] == [len(regions), 2, 0]
    for image, hints, found in zip(images, [regions, some, none], together, strict=True):
        alone = promptable.embed(promptable.encode([image]), [hints])[0]
        torch.testing.assert_close(found.vectors, alone.vectors, rtol=1e-4, atol=1e-5)
    masks = promptable.embed(encoded, [regions, none, none], "mask")[0]
    alone = promptable.embed(promptable.encode(images[:1]), [regions], "mask")[0]
    torch.testing.assert_close(masks.vectors, alone.vectors, rtol=1e-4, atol=1e-5)


def test_points_and_located_boxes_lie_in_the_image_as_given(promptable, scene):
    encoded = promptable.encode([scene.image])
    found = promptable.embed_points(encoded, [torch.tensor([[[10.0, 20.0]], [[96.0, 72.0]]])])[0]
    assert found.vectors.shape == (2, promptable.dim)
    with pytest.raises(UsageError, match="inside the image"):
        promptable.embed_points(encoded, [torch.tensor([[[10.0, 73.0]]])])
    boxes = promptable.locate(encoded, ["a red circle", "grass"])[0]
    assert len(Regions(boxes, (72, 96))) == 2


def test_the_square_holds_the_image_and_masks_follow_it():
    image = torch.ones(3, 30, 60)
    square = fit_square(image, 32)
    assert square[:, :16].min() > 0.99
    assert square[:, 16:].abs().max() == 0
    masks = torch.zeros(1, 30, 60)
    masks[0, 15:, :15] = 1
    shares = mask_coverage(masks, 32, 8, (4, 4))[0]
    assert shares.sum().item() == pytest.approx(15 * 15)
    assert shares[1, 0].item() == pytest.approx(15 * 15)


def test_vectors_are_compared_with_texts_of_the_same_model_alone(promptable, mini, scene, regions):
    found = promptable.embed(promptable.encode([scene.image]), [regions])[0]
    vocabulary = Vocabulary("two", (("grass",), ("sand",)))
    vectors = promptable.embed_texts(["grass", "sand"])
    texts = TextEmbeddings(vectors, torch.arange(2), vocabulary, promptable.model_id, "none")
    check_same_model(found, texts)
    assert promptable.locate(promptable.encode([scene.image]), texts)[0].shape == (2, 4)
    other = dataclasses.replace(texts, model_id=mini.model_id)
    with pytest.raises(UsageError, match="same model"):
        check_same_model(found, other)
    with pytest.raises(UsageError, match="same model"):
        promptable.locate(promptable.encode([scene.image]), other)
    torch.manual_seed(1)
    trained_further = PromptableCLIP(mini, Prompter(mini.width, mini.dim), side=64)
    before = trained_further.model_id
    assert before != promptable.model_id
    with pytest.raises(UsageError, match="encode them with this model"):
        trained_further.embed(promptable.encode([scene.image]), [regions])
    with torch.no_grad():
        trained_further.prompter.mix.bias.add_(1e-3)
    assert trained_further.model_id != before


def test_a_prompter_returns_from_its_file_and_keeps_to_its_encoder(mini, scene, regions, tmp_path):
    embedder = PromptedRegions(mini, "random:3", side=64)
    path = tmp_path / "prompter.safetensors"
    save_prompter(embedder.encoder.prompter, path, mini.model_id)
    again = PromptedRegions(mini, path, side=64)
    assert {**again.protocol, "weights": "prompter@random"} == embedder.protocol
    assert torch.equal(again.embed(scene.image, regions).vectors, embedder.embed(scene.image, regions).vectors)
    with pytest.raises(UsageError, match="trained on"):
        load_prompter(path, "another")
    save_prompter(embedder.encoder.prompter, path, "another")
    with pytest.raises(UsageError, match="trained on"):
        PromptedRegions(mini, path)
    (tmp_path / "bad.safetensors").write_bytes(b"")
    with pytest.raises(WeightsError, match="empty"):
        load_prompter(tmp_path / "bad.safetensors")


def test_bad_hints_and_parts_are_refused(promptable, mini, scene, regions):
    encoded = promptable.encode([scene.image])
    with pytest.raises(UsageError, match="no masks"):
        promptable.embed(encoded, [regions.with_masks(None)], "mask")
    with pytest.raises(UsageError, match="hint must be"):
        promptable.embed(encoded, [regions], "circle")
    with pytest.raises(UsageError, match="belong to an image"):
        promptable.embed(encoded, [Regions.whole((10, 10))])
    with pytest.raises(UsageError, match="for each of the 1 images"):
        promptable.embed(encoded, [regions, regions])
    with pytest.raises(UsageError, match="joint space"):
        PromptableCLIP(mini, Prompter(8, 8))
    with pytest.raises(UsageError, match="pool must be"):
        Prompter(8, 8, pool="some")
