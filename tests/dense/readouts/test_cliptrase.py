"""CLIPtrase against its equations, SciPy's median, and images in which there is nothing to cluster."""

import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import median_filter
from toys.clip import tiny_clip

from densevl.core.errors import UsageError
from densevl.dense.encoder import DenseEncoder
from densevl.dense.readouts.cliptrase import CLIPtraseReadout, cluster_regions, cluster_weights
from densevl.encoders.contracts import Needs


@pytest.fixture(scope="module")
def tiny():
    made = tiny_clip()
    made.model.double().eval().requires_grad_(False)
    return made


def images(tiny, count=2):
    side = tiny.patch_size
    return torch.rand(count, 3, 3 * side, 5 * side, generator=torch.Generator().manual_seed(0)).double()


def test_weights(tiny):
    last = tiny.last_block(images(tiny), Needs(states=(-2,)))
    found = cluster_weights(last)
    for image in range(2):
        block, tokens = last.blocks[-2], last.states[-2][image : image + 1]
        parts = block.qkv(block.norm_1(tokens))
        heads, count = parts[0].shape[1:3]
        expected = torch.zeros(count - 1, count - 1, dtype=torch.float64)
        for i in range(1, count):
            for j in range(1, count):
                alike, near_class = (
                    sum(F.cosine_similarity(p[0, h, a], p[0, h, j], dim=0) for p in parts for h in range(heads))
                    for a in (i, 0)
                )
                expected[i - 1, j - 1] = max(0, (alike - near_class) / (3 * heads))
        torch.testing.assert_close(found[image], expected, rtol=1e-9, atol=1e-9)


def test_regions():
    draw = torch.Generator().manual_seed(1)
    weights, clusters = torch.rand(15, 15, generator=draw), torch.tensor([0, 0, 1, -1, 2] * 3)
    maps = torch.stack([weights[clusters == i].mean(0).view(3, 5) for i in range(3)])
    maps = F.interpolate(maps[None], (12, 20), mode="bilinear")[0]
    smooth = torch.stack([torch.from_numpy(median_filter(one.numpy(), 7)) for one in maps])
    expected = F.interpolate(smooth[None], (24, 40), mode="bilinear")[0].argmax(0)
    assert (cluster_regions(weights, clusters, (3, 5), (24, 40)) == expected).float().mean() > 0.999


def test_maps_smaller_than_the_median(tiny):
    found = cluster_regions(torch.ones(1, 1), torch.tensor([0]), (1, 1), (8, 8))
    assert (found == 0).all()


def test_nothing_to_cluster(tiny):
    one_colour = torch.full_like(images(tiny), 0.3)
    found = DenseEncoder(tiny, CLIPtraseReadout(eps=1e-9, min_samples=99))(one_colour)
    assert (found.regions == -1).all()
    found = DenseEncoder(tiny, CLIPtraseReadout(min_samples=1))(one_colour)
    assert found.regions.shape == (2, *one_colour.shape[2:])
    assert found.grid.isfinite().all()


@pytest.mark.parametrize("settings", [{"eps": 0.0}, {"min_samples": 0}])
def test_bad_settings(settings):
    with pytest.raises(UsageError, match="eps above 0 and one sample or more"):
        CLIPtraseReadout(**settings)
