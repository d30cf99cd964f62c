"""Trident's image of windows and its weights against plain loops, at any window, and at their limits."""

import pytest
import torch
import torch.nn.functional as F
from toys.clip import tiny_clip
from toys.guides import AttentionGuide, ColourGuide

from densevl.core.errors import UsageError
from densevl.dense.encoder import DenseEncoder
from densevl.dense.readouts import trident
from densevl.dense.readouts.trident import TridentReadout, image_of_windows, spread_weights
from densevl.encoders.images import continued
from densevl.tasks.segmentation.windows import WindowPlan


@pytest.fixture(scope="module")
def encoder():
    made = tiny_clip()
    made.model.float().eval().requires_grad_(False)
    return made


@pytest.mark.parametrize("border", ["black", "drop", "centre56"])
@pytest.mark.parametrize(("size", "window", "stride"), [((40, 70), 32, 16), ((37, 53), 29, 20), ((16, 16), None, 1)])
def test_windows_make_up_their_image(border, size, window, stride):
    image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    plan = WindowPlan(size, window, stride)
    seen, extent = continued(plan.crop(image), 8, border, (0.5, 0.5, 0.5))
    found = image_of_windows(seen, plan.boxes, extent)
    assert found.shape == image.shape
    rows, columns = (side // 8 * 8 for side in size) if border == "drop" else size
    assert torch.equal(found[..., :rows, :columns], image[..., :rows, :columns]) or border == "drop"


@pytest.mark.parametrize(("factor", "instead"), [(1.2, False), (3.0, True), (-1.0, True), (-1.0, False), (0.0, False)])
@pytest.mark.parametrize("at_once", [40, 2**24])
def test_weights_by_a_plain_loop(factor, instead, at_once, monkeypatch):
    monkeypatch.setattr(trident, "VALUES_AT_ONCE", at_once)
    query, key, value = torch.randn(3, 2, 9, 4, generator=torch.Generator().manual_seed(1)).double()
    found = spread_weights(query.float(), key.float(), value.float(), factor, instead)
    cosines = F.cosine_similarity(value[:, :, None], value[:, None], dim=3)
    attention = (query @ key.mT).softmax(2)
    for i in range(9):
        limit = min(factor * float(cosines[:, i].mean()), 0.9)
        limit = 0.6 if instead and limit < 0 else limit
        row = [sum(float(attention[h, i, j]) for h in range(2) if cosines[h, i, j] > limit) for j in range(9)]
        expected = torch.tensor(row)
        torch.testing.assert_close(found[i], expected / expected.sum(), rtol=1e-4, atol=1e-5)


def test_a_patch_that_nothing_is_like_keeps_itself():
    values = torch.zeros(1, 3, 4)
    found = spread_weights(torch.zeros(1, 3, 4), torch.zeros(1, 3, 4), values)
    assert torch.equal(found, torch.eye(3))


def dense_of(encoder, **settings):
    return DenseEncoder(encoder, TridentReadout(ColourGuide(), AttentionGuide((5, 7)), **settings))


@pytest.mark.parametrize(("size", "window", "stride"), [((48, 80), 32, 16), ((45, 83), 30, 17), ((33, 47), None, 1)])
def test_any_windows(encoder, size, window, stride):
    image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(2))
    for picture in (image, torch.full_like(image, 0.4)):
        plan = WindowPlan(size, window, stride)
        found = dense_of(encoder)(plan.crop(picture), windows=plan.boxes)
        assert found.grid.shape == (1, encoder.dim, 5, 7)
        assert found.grid.isfinite().all()
        assert found.extent == (0, 0, size[1], size[0])


def test_a_guide_without_an_attention(encoder):
    dense = DenseEncoder(encoder, TridentReadout(ColourGuide(), ColourGuide()))
    with pytest.raises(UsageError, match=r"attention of a guide, and colours\(6x4\) has no query; take sam"):
        dense(torch.rand(1, 3, 32, 32), windows=[(0, 0, 32, 32)])


def test_all_windows_are_needed(encoder):
    with pytest.raises(UsageError, match="needs all windows of an image together"):
        dense_of(encoder)(torch.rand(1, 3, 32, 32))
