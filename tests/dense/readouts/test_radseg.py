import pytest
import torch
import torch.nn.functional as F
from toys.clip import tiny_clip

from densevl.core.errors import UsageError
from densevl.dense.encoder import DenseEncoder
from densevl.dense.readouts import radseg
from densevl.dense.readouts.radseg import RADSegReadout, aggregate, ask_again
from densevl.tasks.segmentation.segmentor import Segmentor
from densevl.tasks.segmentation.windows import WindowPlan


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def encoder():
    made = tiny_clip()
    made.model.float().eval().requires_grad_(False)
    return made


def gated(cosines, scaling, mean=0.0):
    above = scaling * (cosines - mean)
    return torch.where(above < 0, -torch.inf, above).softmax(-1)


@pytest.mark.parametrize("at_once", [radseg.AFFINITIES_AT_ONCE, 30])
def test_both_affinities_in_double_precision(monkeypatch, at_once):
    monkeypatch.setattr(radseg, "AFFINITIES_AT_ONCE", at_once)
    gathered, values, maps = draw(2, 15, 12), draw(2, 3, 15, 4, seed=1), draw(2, 6, 3, 5, seed=2)
    for b in range(2):
        for head in range(3):
            unit = F.normalize(gathered[b, :, 4 * head : 4 * head + 4].double(), dim=1)
            expected = gated(unit @ unit.T, 10) @ values[b, head].double()
            torch.testing.assert_close(ask_again(gathered, values, 10)[b, head], expected.float())
        tokens = maps[b].flatten(1).T.double()
        unit = F.normalize(tokens, dim=1)
        expected = gated(unit @ unit.T, 10, (unit @ unit.T).mean()) @ tokens
        torch.testing.assert_close(aggregate(maps, 10)[b], expected.T.unflatten(1, (3, 5)).float())


def test_a_map_of_one_colour_stays_as_it_is():
    maps = draw(1, 6, 1, 1).expand(1, 6, 4, 7)
    torch.testing.assert_close(aggregate(maps, 10), maps)


def test_all_windows_are_one_map(encoder):
    patch = encoder.patch_size
    image = torch.rand(3, 4 * patch, 6 * patch, generator=torch.Generator().manual_seed(0))
    plan = WindowPlan(tuple(image.shape[1:]), 3 * patch, patch)
    windows = plan.crop(image[None])
    dense = DenseEncoder(encoder, "radseg")
    found = dense(windows, windows=plan.boxes)
    assert found.grid.shape[2:] == (4, 6)
    assert found.extent == (0, 0, 6 * patch, 4 * patch)
    one = DenseEncoder(encoder, {"type": "radseg", "splice": False})(image[None])
    whole = dense(image[None], windows=[(0, 0, 6 * patch, 4 * patch)])
    torch.testing.assert_close(whole.grid, one.grid)


@pytest.mark.parametrize("border", ["black", "drop", "centre56"])
def test_sides_that_are_no_multiple_of_the_patch(encoder, border):
    patch = encoder.patch_size
    image = torch.rand(3, 4 * patch - 3, 5 * patch + 4, generator=torch.Generator().manual_seed(0))
    plan = WindowPlan(tuple(image.shape[1:]), 2 * patch + 1, patch + 2)
    found = DenseEncoder(encoder, "radseg", border=border)(plan.crop(image[None]), windows=plan.boxes)
    assert found.grid.isfinite().all()
    assert len(found.grid) == 1
    assert found.extent == (0, 0, 5 * patch + 4, 4 * patch - 3)


def test_a_batch_of_images_is_each_by_itself(encoder):
    images = torch.rand(2, 3, 40, 56, generator=torch.Generator().manual_seed(0))
    dense = DenseEncoder(encoder, {"type": "radseg", "splice": False})
    torch.testing.assert_close(dense(images).grid[1:], dense(images[1:]).grid)


def test_windows_of_images_apart_are_needed(encoder):
    with pytest.raises(UsageError, match=r"radseg\(.* needs all windows of an image together"):
        DenseEncoder(encoder, "radseg")(torch.rand(1, 3, 32, 32))


def test_a_segmentor_labels_by_the_one_map(encoder):
    from densevl.core.vocabulary import Vocabulary

    made = Segmentor(encoder, "radseg", short_side=None, window=32, stride=16, templates="none", temperature=20.0)
    image = (255 * torch.rand(50, 70, 3, generator=torch.Generator().manual_seed(0))).byte().numpy()
    encoded = made.encode([image])[0]
    labels, best = made.label(encoded, made.embed(Vocabulary.parse("cat, dog")))
    assert len(encoded.features.grid) == 1
    assert labels.shape == best.shape == (50, 70)


def test_a_scaling_above_zero():
    with pytest.raises(UsageError, match="scaling of RADSeg is a factor above 0; got 0"):
        RADSegReadout(0)
