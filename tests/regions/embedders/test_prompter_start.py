"""First weights of a prompter: box pooling at step 0, by the plain mean, and what texts and masks begin with."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cosine_similarity, interpolate, layer_norm, normalize

from densevl.core.errors import UsageError
from densevl.regions.embedders.prompter import Prompter
from densevl.regions.embedders.prompter_start import interval_logits, start_at_box_pooling, start_at_pooling
from densevl.regions.embedders.roi_align import MaskReader, RoIAlignReader

SETTINGS = {"pool": "hint", "corner_tokens": 1, "placed": True, "frequencies": 12}
BOXES = torch.tensor([[[0.1, 0.2, 0.5, 0.9], [0.5, 0.0, 1.0, 0.3], [0.6, 0.55, 0.8, 0.75]]])


@pytest.fixture(scope="module")
def clip() -> tuple[nn.LayerNorm, torch.Tensor]:
    """The end of a CLIP: its last normalisation and its projection."""
    generator = torch.Generator().manual_seed(0)
    norm = nn.LayerNorm(192)
    norm.weight.data += 0.1 * torch.randn(192, generator=generator)
    norm.bias.data += 0.1 * torch.randn(192, generator=generator)
    return norm, torch.randn(192, 64, generator=generator) / 8


def started(clip, **settings) -> Prompter:
    torch.manual_seed(0)
    prompter = Prompter(192, 64, **{**SETTINGS, **settings}).eval()
    start_at_box_pooling(prompter, *clip)
    return prompter


def patches(seed: int, things: int = 24) -> torch.Tensor:
    """Tokens that change from place to place, as often as told along a side, so that it matters what is read."""
    coarse = 5 * torch.randn(1, 192, things, things, generator=torch.Generator().manual_seed(seed))
    return interpolate(coarse, (24, 24), mode="bilinear", align_corners=True)


def box_shares(boxes: torch.Tensor, side: int = 24) -> torch.Tensor:
    """What boxes cover of each patch, counted on a fine raster."""
    fine = (torch.arange(side * 20) + 0.5) / (side * 20)
    rows = ((fine >= boxes[..., 1:2]) & (fine < boxes[..., 3:4])).float()
    columns = ((fine >= boxes[..., 0:1]) & (fine < boxes[..., 2:3])).float()
    return (
        (rows[..., :, None] * columns[..., None, :]).unflatten(-1, (side, 20)).unflatten(-3, (side, 20)).mean((-1, -3))
    )


def pooled(grid: torch.Tensor, shares: torch.Tensor, clip) -> torch.Tensor:
    """The CLIP's own end on the mean of normalised tokens: its projection of that, without the mean over channels."""
    norm, projection = clip
    weights = shares.flatten(2) / shares.flatten(2).sum(2, keepdim=True)
    mean = weights @ norm(grid.flatten(2).mT)
    return normalize((mean - mean.mean(-1, keepdim=True)) @ projection, dim=-1)


@torch.no_grad()
def test_a_box_is_answered_by_the_mean_of_its_tokens(clip):
    prompter = started(clip, gain=0.01)
    prompter.attend_places.weight[384:] = 0
    for seed in range(3):
        grid = patches(seed, 5)
        found, expected = prompter(grid, prompter.boxes(BOXES))[0], pooled(grid, box_shares(BOXES), clip)[0]
        likeness = found @ expected.mT
        assert likeness.diagonal().min() > 0.88
        assert likeness[~torch.eye(3, dtype=torch.bool)].max() < 0.7


def test_interval_logits_give_nearly_uniform_attention_inside():
    a, b = interval_logits(12, 1 / 16)
    angles = torch.pi * 32 ** torch.linspace(0, 1, 12, dtype=torch.float64)
    centres = (torch.arange(24) + 0.5).double() / 24

    def step(distance):
        return (distance[:, None] * angles).cos() @ a + (distance[:, None] * angles).sin() @ b

    for low, high in ((0.25, 0.75), (0.0, 0.5), (0.5, 0.625)):
        attention = (step(centres - low) + step(high - centres)).softmax(0)
        inside = (centres > low) & (centres < high)
        assert attention[inside].sum() > 0.95
        assert attention[inside].max() < 2 * attention[inside].min()


@torch.no_grad()
def test_a_text_looks_where_it_is_true_and_a_mask_keeps_its_tokens(clip):
    prompter, projection = started(clip), clip[1]
    text = normalize(torch.randn(1, 1, 64, generator=torch.Generator().manual_seed(3)), dim=-1)
    token = torch.linalg.lstsq(projection.mT, text[0, 0]).solution
    grid = patches(4)
    grid[0, :, 3, 17] = 5 * token / token.std()
    query, key, _ = prompter.attend(layer_norm(prompter.texts(text)[0, 0], (192,))).chunk(3, dim=-1)
    keys = prompter.attend(layer_norm(grid[0].flatten(1).T, (192,)))[:, 192:384]
    likeness = (keys @ query[0]).view(24, 24)
    assert divmod(int(likeness.argmax()), 24) == (3, 17)
    assert query[0] @ key[0] < 0.5 * likeness.max()
    shares = torch.zeros(1, 1, 24, 24)
    shares[..., 2:9, 4:12] = 1
    grid = patches(4, 4)
    found = prompter(grid, prompter.masks(grid, shares))
    assert cosine_similarity(found, pooled(grid, shares, clip), dim=-1).item() > 0.95


@torch.no_grad()
def test_the_others_start_at_pooling_too(clip):
    torch.manual_seed(0)
    roi, mask = RoIAlignReader(192, 64), MaskReader(192, 64)
    for reader in (roi, mask):
        start_at_pooling(reader, *clip)
    grid, whole = patches(5), torch.tensor([[[0.25, 0.25, 0.5, 0.75]]])
    expected = pooled(grid, box_shares(whole), clip)
    torch.testing.assert_close(mask(grid, mask.masks(grid, box_shares(whole))), expected, rtol=1e-3, atol=1e-4)
    assert cosine_similarity(roi(grid, roi.boxes(whole)), expected, dim=-1).item() > 0.8
    smooth = patches(6, 3)
    expected = pooled(smooth, box_shares(whole), clip)
    assert cosine_similarity(roi(smooth, roi.boxes(whole)), expected, dim=-1).item() > 0.99


def test_other_prompters_are_refused(clip):
    for settings in ({"pool": "all"}, {"corner_tokens": 2}, {"placed": False}):
        with pytest.raises(UsageError, match="box pooling can start"):
            started(clip, **settings)
    with pytest.raises(UsageError, match="too many"):
        started(clip, frequencies=24)
