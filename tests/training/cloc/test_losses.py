"""The losses of CLOC against loops in float64, on one process and on two."""

import math

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from densevl.training.cloc.losses import alike, clip_loss, cloc_losses, contrast, gather, ground_loss, sample_regions

seeds = st.integers(0, 2**31 - 1)


def units(count: int, generator: torch.Generator, dim: int = 5) -> torch.Tensor:
    return normalize(torch.randn(count, dim, generator=generator, dtype=torch.float64), dim=1)


def by_hand(first: torch.Tensor, second: torch.Tensor, scale: float, texts: torch.Tensor | None = None) -> float:
    """Symmetric InfoNCE by loops; pairs of different places whose texts have a cosine above 0.9 do not count."""
    first, second = first.detach(), second.detach()
    texts = None if texts is None else texts.detach()
    count, total = len(first), 0.0

    def kept(i: int, j: int) -> bool:
        return i == j or texts is None or float(texts[i] @ texts[j]) <= 0.9

    for i in range(count):
        own = math.exp(scale * float(first[i] @ second[i]))
        rows = sum(math.exp(scale * float(first[i] @ second[j])) for j in range(count) if kept(i, j))
        columns = sum(math.exp(scale * float(first[j] @ second[i])) for j in range(count) if kept(i, j))
        total -= math.log(own / rows) + math.log(own / columns)
    return total / (2 * count)


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_contrast_is_symmetric_infonce(seed):
    generator = torch.Generator().manual_seed(seed)
    first, second, scale = units(6, generator), units(6, generator), torch.tensor(7.0, dtype=torch.float64)
    assert contrast(first, second, scale).item() == pytest.approx(by_hand(first, second, 7.0))


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_texts_that_are_alike_are_no_negatives(seed):
    generator = torch.Generator().manual_seed(seed)
    kinds = units(3, generator)
    texts = normalize(kinds[torch.tensor([0, 1, 0, 2, 1, 0])] + 0.02 * units(6, generator), dim=1)
    regions, scale = units(6, generator), torch.tensor(10.0, dtype=torch.float64)
    assert alike(texts)[0, 2]
    found = contrast(regions, texts, scale, ~alike(texts))
    assert found.item() == pytest.approx(by_hand(regions, texts, 10.0, texts))
    assert found < contrast(regions, texts, scale)


def test_the_test_for_likeness_gives_no_gradient():
    generator = torch.Generator().manual_seed(0)
    texts = units(4, generator).requires_grad_()
    assert not alike(texts).requires_grad
    regions, scale = units(4, generator), torch.tensor(3.0, dtype=torch.float64)
    fixed = ~alike(texts.detach())
    with_test = torch.autograd.grad(contrast(regions, texts, scale, ~alike(texts)), texts)[0]
    torch.testing.assert_close(with_test, torch.autograd.grad(contrast(regions, texts, scale, fixed), texts)[0])


def test_nothing_is_lost_where_every_negative_is_filtered():
    generator = torch.Generator().manual_seed(1)
    regions = units(4, generator).requires_grad_()
    texts = units(1, generator).expand(4, -1)
    loss = contrast(regions, texts, torch.tensor(10.0, dtype=torch.float64), ~alike(texts))
    assert loss.item() == pytest.approx(0, abs=1e-12)
    assert torch.autograd.grad(loss, regions)[0].abs().max() < 1e-12


def example(seed: int, counts: list[int]) -> dict[str, torch.Tensor]:
    """Regions of a batch of images, some of them with equal texts."""
    generator = torch.Generator().manual_seed(seed)
    total = sum(counts)
    texts = (
        units(3, generator)[torch.randint(3, (total,), generator=generator)] if total else torch.zeros(0, 5).double()
    )
    return {
        "regions": units(total, generator).requires_grad_(),
        "texts": texts.requires_grad_(),
        "scale": torch.tensor(5.0, dtype=torch.float64, requires_grad=True),
        "found": torch.rand(total, 4, generator=generator, dtype=torch.float64).requires_grad_(),
        "boxes": torch.rand(total, 4, generator=generator, dtype=torch.float64),
        "described": torch.tensor([count > 0 for count in counts]),
    }


def test_the_losses_together_by_hand():
    batch = example(3, [2, 0, 3, 1, 0])
    losses = cloc_losses(**batch)
    assert losses["share"].item() == pytest.approx(3 / 5)
    wanted = 3 / 5 * by_hand(batch["regions"], batch["texts"], 5.0, batch["texts"])
    assert losses["loss_cloc"].item() == pytest.approx(wanted)
    squares = [(batch["found"][i, k].item() - batch["boxes"][i, k].item()) ** 2 for i in range(6) for k in range(4)]
    assert losses["loss_ground"].item() == pytest.approx(3 / 5 * sum(squares) / 24)


def test_a_batch_without_region_texts_teaches_nothing():
    batch = example(0, [0, 0])
    losses = cloc_losses(**batch)
    assert {name: value.item() for name, value in losses.items()} == {"loss_cloc": 0, "loss_ground": 0, "share": 0}
    (losses["loss_cloc"] + losses["loss_ground"]).backward()
    assert batch["scale"].grad.item() == 0
    assert batch["regions"].grad.shape == (0, 5)


def test_ground_loss_of_nothing_is_zero():
    assert ground_loss(torch.zeros(0, 4), torch.zeros(0, 4)) == 0


def test_at_most_m_regions_take_part_and_each_as_often():
    counts = [0, 3, 4, 9]
    draws = [sample_regions(counts, 4, torch.Generator().manual_seed(seed)) for seed in range(300)]
    assert [len(drawn) for drawn in draws[0]] == [0, 3, 4, 4]
    assert draws[0][2].tolist() == [0, 1, 2, 3]
    again = sample_regions(counts, 4, torch.Generator().manual_seed(7))
    assert all(torch.equal(a, b) for a, b in zip(draws[7], again, strict=True))
    assert all(len(set(drawn[3].tolist())) == 4 for drawn in draws)
    often = torch.bincount(torch.cat([drawn[3] for drawn in draws]), minlength=9) / 300
    assert (often - 4 / 9).abs().max() < 0.12


def test_without_distribution_gathering_changes_nothing():
    values = torch.rand(3, 2)
    assert gather(values) is values


PARTS = (([2, 0, 3], [1, 0]), ([2, 1], [0, 0]), ([0], [0]))
"""Regions of the images of two processes, which have different numbers of them, or none."""


def _process(rank: int, folder: str) -> None:
    """The losses of one process of two, and the gradient that data-parallel training would take."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    results = []
    for parts in PARTS:
        batch, (before, images) = example(11, [*parts[0], *parts[1]]), (sum(parts[0]), len(parts[0]))
        rows, own = (slice(0, n) if rank == 0 else slice(n, None) for n in (before, images))
        mine = {name: value[own if name == "described" else rows] for name, value in batch.items() if name != "scale"}
        result = _with_weight(mine, batch["scale"], own)
        for name in ("weight", "scale"):
            dist.all_reduce(result[name])
            result[name] /= 2
        results.append(result)
    torch.save(results, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def _with_weight(batch: dict[str, torch.Tensor], scale: torch.Tensor, images: slice) -> dict[str, torch.Tensor]:
    """The losses of a small model, one matrix that everything goes through, and its gradients."""
    batch = {name: value.detach() for name, value in batch.items()}
    weight = torch.eye(5, dtype=torch.float64).requires_grad_()
    losses = cloc_losses(
        normalize(batch["regions"] @ weight, dim=1),
        normalize(batch["texts"] @ weight.mT, dim=1),
        scale,
        batch["found"] @ weight[:4, :4],
        batch["boxes"],
        batch["described"],
    )
    pictures, captions = (units(5, torch.Generator().manual_seed(seed))[images] for seed in (1, 2))
    pictures, captions = pictures[: len(batch["described"])], captions[: len(batch["described"])]
    losses["loss_clip"] = clip_loss(normalize(pictures @ weight, dim=1), captions, scale)
    (losses["loss_clip"] + losses["loss_cloc"] + losses["loss_ground"]).backward()
    return {name: value.detach() for name, value in losses.items()} | {"weight": weight.grad, "scale": scale.grad}


@pytest.mark.slow
def test_two_processes_are_one_with_the_joint_batch(tmp_path):
    mp.spawn(_process, (str(tmp_path),), nprocs=2)
    for case, parts in enumerate(PARTS):
        batch = example(11, [*parts[0], *parts[1]])
        scale = batch.pop("scale")
        expected = _with_weight(batch, scale, slice(0, len(batch["described"])))
        for rank in range(2):
            found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)[case]
            torch.testing.assert_close(found, expected)
