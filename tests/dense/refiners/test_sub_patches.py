"""Heads that refine onto sub-patches: by their equations, in batches and windows, in files, and wrongly used."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from toys.dense import dense
from toys.models import build_segmentor

from densevl.core.errors import UsageError
from densevl.core.features import DenseFeatures
from densevl.core.vocabulary import Vocabulary
from densevl.datasets.scenes import render
from densevl.dense.refiners.affinity import pool_by_affinity
from densevl.dense.refiners.dinoiser import DinoiserRefiner
from densevl.dense.refiners.dinoiser_weights import build_dinoiser, save_heads
from densevl.dense.refiners.sub_patches import on_sub_patches
from densevl.tasks.segmentation.segmentor import Segmentor

LAYER = "blocks.0.ln_2"


def heads(**settings) -> DinoiserRefiner:
    torch.manual_seed(0)
    settings = {"sub_patch": 2, "encoder_id": "tiny@1", **settings}
    return DinoiserRefiner(12, 5, LAYER, **settings).requires_grad_(False)


def features(batch: int = 2, patch_size: int = 8) -> DenseFeatures:
    generator = torch.Generator().manual_seed(1)
    grid, tapped = (torch.randn(batch, c, 3, 4, generator=generator) for c in (6, 12))
    keys = torch.randn(batch, 9, 3, 4, generator=generator)
    return DenseFeatures(grid, patch_size, "tiny@1", keys, {LAYER: tapped})


def pictures(batch: int = 2) -> torch.Tensor:
    return torch.rand(batch, 3, 24, 32, generator=torch.Generator().manual_seed(2))


def test_the_equations() -> None:
    refiner, before, images = heads(gamma=0.3), features(), pictures()
    after = refiner(before, images)
    tapped = F.pad(before.maps[LAYER], (1, 1, 1, 1), mode="replicate")
    coarse = F.conv2d(tapped, refiner.obj_proj.weight, refiner.obj_proj.bias)
    first, _, second = refiner.stem
    seen = F.gelu(F.conv2d(images - 0.5, first.weight, first.bias, stride=2))
    fine = F.conv2d(F.pad(seen, (1, 1, 1, 1)), second.weight, second.bias)
    units = F.normalize((fine + F.interpolate(coarse, (12, 16), mode="bilinear")).flatten(2), dim=1)
    cut = torch.stack([before.grid[:, :, y // 4, x // 4] for y in range(12) for x in range(16)], dim=2)
    expected = pool_by_affinity(cut.unflatten(2, (12, 16)), units.mT @ units, 0.3)
    torch.testing.assert_close(after.grid, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(refiner.affinity(before.maps[LAYER], images), units.mT @ units)
    logits = heads(sub_patch=None)(before).foreground
    assert logits is not None
    refiner.bkg_decoder.load_state_dict(heads(sub_patch=None).bkg_decoder.state_dict())
    torch.testing.assert_close(
        refiner(before, images).foreground, F.interpolate(logits[:, None], (12, 16), mode="bilinear")[:, 0]
    )


def test_everything_is_on_the_finer_grid() -> None:
    after = heads(radius=2.5, rounds=2)(features(), pictures())
    assert after.patch_size == 2
    maps = [after.grid, after.keys, after.foreground, *after.maps.values()]
    assert all(value is not None and value.shape[-2:] == (12, 16) for value in maps)
    one = features(1)
    assert on_sub_patches(one, 1) is one
    torch.testing.assert_close(F.avg_pool2d(on_sub_patches(one, 4).grid, 4), one.grid)


def test_reach_and_rounds_by_the_matrix() -> None:
    refiner, before, images = heads(gamma=0.3, radius=2.5, rounds=3), features(), pictures()
    affinity = refiner.affinity(before.maps[LAYER], images)
    places = torch.cartesian_prod(torch.arange(12.0), torch.arange(16.0))
    affinity = affinity * (torch.cdist(places, places) <= 2.5)
    expected = on_sub_patches(before, 4).grid
    for _ in range(3):
        expected = pool_by_affinity(expected, affinity, 0.3)
    torch.testing.assert_close(refiner(before, images).grid, expected, rtol=1e-4, atol=1e-5)


def test_a_batch_gives_what_its_members_give() -> None:
    refiner, before, images = heads(radius=2.5, rounds=2), features(), pictures()
    together = refiner(before, images).split([1, 1])
    for i, part in enumerate(before.split([1, 1])):
        torch.testing.assert_close(refiner(part, images[i : i + 1]).grid, together[i].grid)


@pytest.fixture(scope="module")
def segmentor() -> Segmentor:
    return build_segmentor("mini", short_side=96, window=64, stride=40)


def test_images_and_windows_are_encoded_alike_together_and_alone(segmentor: Segmentor) -> None:
    images = [render(3, i, (70, 90), "val").image for i in range(2)]
    texts = segmentor.embed(Vocabulary.parse("red ring, blue star, grass, sand, water"))
    together = segmentor.encode(images)
    assert together[0].features.patch_size == 2
    assert together[0].features.grid.shape[2:] == (32, 32)
    for image, many in zip(images, together, strict=True):
        (one,) = segmentor.encode([image])
        torch.testing.assert_close(one.features.grid, many.features.grid, rtol=1e-4, atol=1e-4)
        labels, best = segmentor.label(many, texts)
        torch.testing.assert_close(segmentor.scores(many, texts).amax(0), best)
        assert labels.shape == image.shape[:2]


def test_a_size_that_is_no_multiple_of_a_patch(segmentor: Segmentor) -> None:
    image = torch.rand(1, 3, 61, 50)
    features = dense(segmentor.encoder, image, segmentor.readout, maps=segmentor.refiners[0].needs.maps)
    after = segmentor.refiners[0](features, image)
    black = torch.zeros(1, 3, 64, 56)
    black[..., :61, :50] = image
    whole = segmentor.refiners[0](features, black)
    assert (after.grid.shape[2:], whole.grid.shape[2:]) == ((31, 25), (32, 28))
    for cut, full in ((after.grid, whole.grid), (after.foreground, whole.foreground)):
        assert torch.equal(cut, full[..., :31, :25])


@pytest.mark.parametrize("size", [(1, 512), (40, 3), (65, 97)])
def test_any_size_has_labels(segmentor: Segmentor, size: tuple[int, int]) -> None:
    whole = build_segmentor("mini", short_side=None)
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    for one in (segmentor, whole):
        (encoded,) = one.encode([image])
        assert one.label(encoded, one.embed(Vocabulary.parse("ring, grass, sand")))[0].shape == size


def test_smoothing_by_keys_behind_them() -> None:
    segmentor = build_segmentor("mini", short_side=32, stages=[{"type": "key-smoothing", "threshold": 0.9}])
    image = render(3, 0, (32, 40), "val").image
    (encoded,) = segmentor.encode([image])
    labels, _ = segmentor.label(encoded, segmentor.embed(Vocabulary.parse("ring, grass, sand")))
    assert labels.shape == (32, 40)


def test_files_know_the_side(tmp_path: Path) -> None:
    refiner = heads(sub_patch=4)
    save_heads(refiner, tmp_path / "fine.safetensors")
    loaded = build_dinoiser(tmp_path / "fine.safetensors", radius=2.0)
    assert (loaded.sub_patch, loaded.needs.images) == (4, True)
    assert all(torch.equal(loaded.state_dict()[name], value) for name, value in refiner.state_dict().items())
    save_heads(heads(sub_patch=None), tmp_path / "published.safetensors")
    published = build_dinoiser(tmp_path / "published.safetensors")
    assert (published.sub_patch, published.needs.images) == (None, False)
    assert sorted(published.state_dict()) == [
        "bkg_decoder.bias", "bkg_decoder.weight", "obj_proj.bias", "obj_proj.weight"
    ]  # fmt: skip


def test_wrong_use() -> None:
    with pytest.raises(UsageError, match="read the images, too"):
        heads()(features())
    with pytest.raises(UsageError, match="sub-patches of 3 pixels, which patches of 8"):
        heads(sub_patch=3)(features(), pictures())
    with pytest.raises(UsageError, match="sub_patch is the side"):
        heads(sub_patch=0)
