"""Teachers: their targets by loops, and in the place of the heads."""

import pytest
import torch
import torch.nn.functional as F

from densevl.core.errors import UsageError, WeightsError
from densevl.core.features import DenseFeatures
from densevl.core.vocabulary import Vocabulary
from densevl.dense.refiners.affinity import pool_by_affinity
from densevl.dense.refiners.found import FoundDecoder
from densevl.dense.refiners.teachers import Teachers, read_at_patches
from densevl.encoders.dino import DINOEncoder, build_dino_model
from densevl.encoders.loading import build_random_clip
from densevl.tasks.segmentation.segmentor import Segmentor


def vit(patch_size: int, seed: int) -> DINOEncoder:
    torch.manual_seed(seed)
    arguments = {"img_size": 32, "patch_size": patch_size, "embed_dim": 32, "depth": 2, "num_heads": 2}
    model = build_dino_model(arguments).eval()
    with torch.no_grad():
        model.blocks[-1].attn.qkv.weight.mul_(10)
    return DINOEncoder(model, f"vit{patch_size}")


@pytest.fixture(scope="module")
def teachers() -> Teachers:
    """Affinities from patches of 16 pixels, the foreground from patches of 8, as published."""
    torch.manual_seed(2)
    return Teachers(vit(16, 0), foreground_encoder=vit(8, 1), decoder=FoundDecoder(32))


def test_reading_at_other_patches():
    maps = torch.rand(2, 3, 6, 8)
    torch.testing.assert_close(read_at_patches(maps, 8, (3, 4), 16), F.avg_pool2d(maps, 2))
    expected = F.interpolate(maps, (12, 16), mode="bilinear", align_corners=False)
    torch.testing.assert_close(read_at_patches(maps, 16, (12, 16), 8), expected)
    assert torch.equal(read_at_patches(maps, 8, (5, 7), 8), maps[..., :5, :7])


def test_reading_where_the_grids_end_at_different_pixels():
    """A map that rises by one a pixel is read at the centres of the patches, whatever their size."""
    centres = 14 * (torch.arange(4) + 0.5)
    ramp = (16 * (torch.arange(4) + 0.5)).expand(1, 1, 4, 4)
    torch.testing.assert_close(read_at_patches(ramp, 16, (4, 4), 14)[0, 0, 0, 1:], centres[1:])
    assert read_at_patches(ramp, 16, (4, 4), 14)[0, 0, 0, 0] == 8, "beyond the first centre a map goes on as it begins"


@pytest.mark.parametrize("size", [(32, 48), (37, 50)])
def test_targets_by_loops(teachers, size):
    images = torch.rand(2, 3, *size)
    same, thing = teachers.targets(images, 16)
    rows, columns = -(-size[0] // 16), -(-size[1] // 16)
    padded = F.pad(images, (0, 16 * columns - size[1], 0, 16 * rows - size[0]))
    values = teachers.encoder.project(padded, "value").flatten(2)
    logits = teachers.decoder(teachers.foreground_encoder.project(padded, "key"))
    assert same.shape == (2, rows * columns, rows * columns)
    assert 0 < same.float().mean() < 1
    for b in range(2):
        for p in range(rows * columns):
            for q in range(rows * columns):
                cosine = F.cosine_similarity(values[b, :, p], values[b, :, q], dim=0)
                assert same[b, p, q] == (cosine > 0.2) or abs(cosine - 0.2) < 1e-5
            y, x = divmod(p, columns)
            mean = logits[b, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].sigmoid().mean()
            assert thing[b, y, x] == (mean > 0.5) or abs(mean - 0.5) < 1e-5


def test_without_a_decoder():
    alone = Teachers(vit(8, 0))
    assert not alone.finds_foreground
    assert alone.targets(torch.rand(1, 3, 32, 32), 16)[1] is None


def features(images: torch.Tensor) -> DenseFeatures:
    generator = torch.Generator().manual_seed(5)
    grid = torch.randn(len(images), 6, -(-images.shape[2] // 16), -(-images.shape[3] // 16), generator=generator)
    return DenseFeatures(grid, 16, "clip")


def test_in_the_place_of_the_heads(teachers):
    images = torch.rand(2, 3, 32, 50)
    before = features(images)
    after = teachers(before, images)
    units = F.normalize(teachers.descriptors(images, 16).flatten(2), dim=1)
    torch.testing.assert_close(after.grid, pool_by_affinity(before.grid, units.mT @ units, 0.2))
    assert torch.equal(after.foreground > 0, teachers.targets(images, 16)[1])
    torch.testing.assert_close(after.foreground.sigmoid(), teachers.foreground(images, 16))


def test_a_batch_gives_what_its_images_give(teachers):
    images = torch.rand(3, 3, 37, 32)
    before = features(images)
    whole = teachers(before, images)
    for i, part in enumerate(before.split([1, 1, 1])):
        one = teachers(part, images[i : i + 1])
        torch.testing.assert_close(one.grid, whole.grid[i : i + 1], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(one.foreground, whole.foreground[i : i + 1], rtol=1e-4, atol=1e-4)


def test_a_segmentor_with_teachers(teachers):
    segmentor = Segmentor(
        build_random_clip("mini-clip"), refiners=[teachers], templates="none", short_side=None, window=48, stride=32
    )
    image = (torch.rand(64, 80, 3) * 255).byte().numpy()
    (encoded,) = segmentor.encode([image])
    assert encoded.features.foreground.shape == (len(encoded.plan), 6, 6)
    texts = segmentor.embed(Vocabulary.parse("background, red circle, grass"), "head")
    labels, _ = segmentor.label(encoded, texts)
    assert labels.shape == (64, 80)
    (report,) = segmentor.protocol["refiners"]
    assert report == "teachers vit16, value, gamma 0.2, foreground by vit8"


@pytest.mark.parametrize("gamma", [-0.1, 1.0, float("nan")])
def test_gamma_out_of_range(gamma):
    with pytest.raises(UsageError, match="gamma"):
        Teachers(vit(8, 0), gamma=gamma)


def test_a_decoder_of_another_width():
    with pytest.raises(WeightsError, match="width 384, and vit8 has 32"):
        Teachers(vit(8, 0), decoder=FoundDecoder())
