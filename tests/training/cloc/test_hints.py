"""Hints drawn for the regions of a training step."""

import pytest
import torch

from densevl.core.errors import UsageError
from densevl.regions.embedders.prompter import Prompter
from densevl.training.cloc.hints import RegionHints, draw_points
from densevl.training.cloc.model import ClocTraining

SIDE, PATCH = 32, 8


@pytest.fixture
def prompter() -> Prompter:
    torch.manual_seed(0)
    return Prompter(16, 8, placed=True)


@pytest.fixture
def grid() -> torch.Tensor:
    return torch.randn(3, 16, 4, 4, generator=torch.Generator().manual_seed(1))


def regions() -> tuple[list[torch.Tensor], list[torch.Tensor | None]]:
    """Boxes of images with two, no and three regions, and masks of the first and the last image's."""
    generator = torch.Generator().manual_seed(2)
    counts = [2, 0, 3]
    low = [torch.rand(n, 2, generator=generator) * 0.5 for n in counts]
    boxes = [torch.cat([some, some + 0.4], 1) for some in low]
    masks = [torch.rand(n, SIDE, SIDE, generator=generator) < 0.1 for n in counts]
    return boxes, masks


def single(prompter, kind, grid, box, mask):
    if kind == "box":
        return prompter.boxes(box[None, None])
    shares = mask.view(4, PATCH, 4, PATCH).sum((1, 3)).float()
    return prompter.masks(grid, shares[None, None])


@pytest.mark.parametrize("kind", ["box", "mask"])
def test_each_region_gets_the_hint_that_it_would_get_alone(prompter, grid, kind):
    boxes, masks = regions()
    tokens, real = RegionHints({kind: 1})(prompter, grid, boxes, masks, PATCH)
    assert tokens.shape[:2] == (3, 3)
    found = prompter(grid, tokens, real)
    for i, some in enumerate(boxes):
        for j in range(len(some)):
            alone = single(prompter, kind, grid[i : i + 1], some[j], masks[i][j])
            torch.testing.assert_close(found[i, j], prompter(grid[i : i + 1], alone)[0, 0], rtol=1e-4, atol=1e-5)


def test_shares_are_kept_and_images_without_masks_get_boxes(prompter, grid):
    boxes, masks = [torch.tensor([[0.1, 0.2, 0.5, 0.6]]).repeat(400, 1)] * 2, [torch.ones(400, SIDE, SIDE) > 0, None]
    hints = RegionHints({"box": 1, "mask": 3})
    tokens, real = hints(prompter, grid[:2], boxes, masks, PATCH)
    box = prompter.boxes(boxes[0][:1, None])[0, 0]
    boxed = [((tokens[i] - box).abs() < 1e-5).all(-1).all(-1) for i in range(2)]
    assert 0.15 < boxed[0].float().mean() < 0.35
    assert boxed[1].all()
    assert torch.equal(real.sum(2) == 2, torch.stack(boxed)), "a mask is one token, a box two"


def test_from_one_point_to_as_many_as_allowed(prompter, grid):
    boxes, _ = regions()
    torch.manual_seed(3)
    many = [some.repeat(100, 1) for some in boxes]
    _, real = RegionHints({"point": 1}, points=3)(prompter, grid, many)
    counts = torch.bincount(real[0, :200].sum(1), minlength=4)
    assert counts[0] == 0
    assert (counts[1:] > 40).all()


def test_points_lie_in_the_mask_or_in_the_middle_of_the_box():
    boxes, masks = regions()
    for some, held in zip(boxes, masks, strict=True):
        points = draw_points(some, held, 5)
        assert points.shape == (len(some), 5, 2)
        places = (points * SIDE).long()
        assert all(held[i, y, x] for i, drawn in enumerate(places) for x, y in drawn.tolist())
        free = draw_points(some, None, 50)
        share = (free - some[:, None, :2]) / (some[:, None, 2:] - some[:, None, :2])
        assert ((share >= 0.25) & (share <= 0.75)).all()
    hidden = draw_points(boxes[0], torch.zeros(2, SIDE, SIDE, dtype=torch.bool), 4)
    assert ((hidden >= boxes[0][:, None, :2]) & (hidden <= boxes[0][:, None, 2:])).all()


@pytest.mark.parametrize("hints", [{"box": 1}, {"point": 1}, {"mask": 1}, {"box": 1, "point": 1, "mask": 1}])
@pytest.mark.parametrize("grounding", [0.0, 1.0])
def test_every_weight_that_is_trained_has_a_gradient_in_every_step(tiny, hints, grounding):
    model = ClocTraining(tiny(), hints=hints, grounding=grounding, prompter=Prompter(16, 8, corner_tokens=1)).double()
    image = torch.zeros(3, 16, 16, dtype=torch.uint8)
    mask = torch.ones(1, 16, 16, dtype=torch.bool)
    for boxes in (torch.tensor([[0.0, 0.0, 0.5, 1.0]]), torch.zeros(0, 4)):
        model.zero_grad()
        data = {"boxes": [boxes], "texts": [("sand",) * len(boxes)], "masks": [mask[: len(boxes)]]}
        model.parse_losses(model([image], **data))[0].backward()
        missing = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
        assert missing == []
    idle = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert ("prompter.of_mask.1.weight" in idle) == ("mask" not in hints)
    assert ("prompter.of_text.weight" in idle) == (grounding == 0)


def test_no_points():
    with pytest.raises(UsageError, match="points at least 1"):
        RegionHints({"point": 1}, points=0)
