"""Time of the stages that solve for scores beside the plain way: one class after the other, in a library's solver."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from scipy.sparse import coo_matrix, csr_matrix, diags, identity
from scipy.sparse.linalg import cg
from torch import Tensor

from densevl.benchmarks.speed.cost import measure
from densevl.core.features import DenseFeatures
from densevl.core.geometry import Size
from densevl.dense.operations.lab import lab
from densevl.dense.stages.lposs import LPOSS, patch_centres
from densevl.dense.stages.lposs_pixels import SPREAD, LPOSSPixels
from densevl.dense.stages.pamr import PAMR
from densevl.metrics.table import Table
from densevl.tasks.segmentation.windows import WindowPlan

__all__ = ["benchmark_solvers", "plain_lposs", "plain_lposs_pixels", "plain_pamr"]


def benchmark_solvers(classes: int = 21, size: Size = (240, 320), repetitions: int = 3) -> Table:
    """Measure PAMR, LPOSS and LPOSS+ on scores drawn from a seed, each in turn with the plain way.

    Args:
        classes: number of scores of a place.
        size: (height, width) of the image; LPOSS has windows of 224 pixels every 112 of it, twice as large.
        repetitions: of each measurement; one more comes first and is not counted.

    Returns:
        A row for each: milliseconds of processor time by the plain way and by ours, how many times faster that is, and
        the largest difference of their scores as a part of the largest score.
    """
    draw = torch.Generator().manual_seed(0)
    image = F.interpolate(torch.rand(1, 3, 12, 16, generator=draw), size, mode="bicubic")[0].clamp(0, 1)
    scores = F.interpolate(torch.rand(1, classes, 12, 16, generator=draw), size, mode="bicubic")[0]
    plan = WindowPlan((2 * size[0], 2 * size[1]), 224, 112)
    rows, columns = plan.grid(16)
    cosines = torch.rand(len(plan), classes, rows, columns, generator=draw)
    keys = torch.randn(len(plan), 64, rows, columns, generator=draw)
    features = DenseFeatures(torch.zeros(len(plan), 1, rows, columns), 16, "drawn", keys=keys)
    pamr, patches, pixels = PAMR(), LPOSS(), LPOSSPixels()
    cases: dict[str, tuple[Callable[[], Tensor], Callable[[], Tensor]]] = {
        "pamr": (lambda: plain_pamr(pamr, scores, image), lambda: pamr(scores, image)),
        "lposs": (
            lambda: plain_lposs(patches, cosines, features, plan.boxes),
            lambda: patches(cosines, features, windows=plan.boxes),
        ),
        "lposs-pixels": (lambda: plain_lposs_pixels(pixels, scores, image), lambda: pixels(scores, image)),
    }
    rows_of_table = []
    for name, (plain, ours) in cases.items():
        found: dict[str, Tensor] = {}
        work = {"plain": _kept(found, "plain", plain), "ours": _kept(found, "ours", ours)}
        costs = measure(work, repetitions, clock=time.process_time)
        apart = (found["plain"] - found["ours"]).abs().max() / found["plain"].abs().max()
        slow, fast = (1e3 * costs[way].median for way in work)
        rows_of_table.append((name, (slow, fast, slow / fast, f"{apart:.0e}")))
    note = (
        f"medians of {repetitions} runs in turn, {classes} classes, an image of {size[1]}×{size[0]} pixels, "
        f"{len(plan)} windows of {rows}×{columns} patches; time of the processor"
    )
    return Table(("stage", "plain, ms", "ours, ms", "times faster", "difference"), rows_of_table, note)


def _kept(found: dict[str, Tensor], name: str, function: Callable[[], Tensor]) -> Callable[[], None]:
    return lambda: found.update({name: function()})


def plain_pamr(stage: PAMR, scores: Float[Tensor, "k H W"], image: Float[Tensor, "3 H W"]) -> Float[Tensor, "k H W"]:
    """PAMR with a tensor of all neighbours of all pixels, as its definition reads."""

    def neighbours(values: Tensor) -> Tensor:
        height, width = values.shape[1:]
        found = []
        for reach in stage.dilations:
            padded = F.pad(values[None], (reach,) * 4, mode="replicate")[0]
            places = [(y, x) for y in (0, reach, 2 * reach) for x in (0, reach, 2 * reach) if (y, x) != (reach, reach)]
            found += [padded[:, y : y + height, x : x + width] for y, x in places]
        return torch.stack(found, dim=1)

    near = neighbours(image)
    deviation = torch.cat([near, image[:, None].expand(-1, len(stage.dilations), -1, -1)], dim=1).std(1, keepdim=True)
    weights = (-(image[:, None] - near).abs() / (0.1 * deviation + 1e-8)).mean(0).softmax(0)
    for _ in range(stage.steps):
        scores = (neighbours(scores) * weights).sum(1)
    return scores


def plain_lposs(
    stage: LPOSS, cosines: Float[Tensor, "n q h w"], features: DenseFeatures, windows: Any
) -> Float[Tensor, "n q h w"]:
    """LPOSS with a sparse matrix, solved for one class after the other."""
    keys = F.normalize(features.keys, dim=1).movedim(1, -1).flatten(0, 2)  # type: ignore[arg-type]
    places = patch_centres(features, windows)
    alike, nearest = (keys @ keys.mT).topk(min(stage.neighbours, len(keys)), dim=1)
    apart = (places[:, None] - places[nearest]).square().sum(-1).sqrt()
    weights = (alike.clamp(min=0) ** stage.gamma * torch.exp(-stage.sigma * apart)).flatten().numpy()
    ends = (np.arange(len(keys)).repeat(nearest.shape[1]), nearest.flatten().numpy())
    graph = coo_matrix((weights, ends), shape=(len(keys),) * 2).tolil()
    graph.setdiag(0)
    seeds = cosines.movedim(1, -1).flatten(0, 2).numpy()
    solved = _solve(graph.tocsr() + graph.tocsr().T, seeds, stage)
    n, _, h, w = cosines.shape
    return torch.from_numpy(solved).unflatten(0, (n, h, w)).movedim(-1, 1)


def plain_lposs_pixels(
    stage: LPOSSPixels, scores: Float[Tensor, "k H W"], image: Float[Tensor, "3 H W"]
) -> Float[Tensor, "k H W"]:
    """LPOSS+ with a sparse matrix, solved for one class after the other."""
    colours = (lab(image) / torch.tensor(SPREAD)[:, None, None]).flatten(1).T.numpy()
    height, width = scores.shape[1:]
    index = np.arange(height * width).reshape(height, width)
    starts, ends = [], []
    for y in range(-stage.reach, stage.reach + 1):
        for x in range(-stage.reach, stage.reach + 1):
            if (y, x) == (0, 0):
                continue
            inner = (slice(max(0, -y), height - max(0, y)), slice(max(0, -x), width - max(0, x)))
            other = (slice(max(0, y), height - max(0, -y)), slice(max(0, x), width - max(0, -x)))
            starts.append(index[inner].ravel())
            ends.append(index[other].ravel())
    here, there = np.concatenate(starts), np.concatenate(ends)
    weights = np.exp(-np.linalg.norm(colours[here] - colours[there], axis=1) / stage.tau)
    graph = csr_matrix((weights, (here, there)), shape=(height * width,) * 2)
    solved = _solve(graph, scores.flatten(1).T.numpy(), stage)
    return torch.from_numpy(solved).T.unflatten(1, (height, width))


def _solve(graph: Any, seeds: np.ndarray, stage: LPOSS | LPOSSPixels) -> np.ndarray:
    """F of label propagation, times 1 − α."""
    sums = np.asarray(graph.sum(axis=1)).ravel()
    scale = diags(np.where(sums > 0, 1 / np.sqrt(np.where(sums > 0, sums, 1)), 0))
    matrix = (identity(graph.shape[0]) - stage.alpha * (scale @ graph @ scale)).tocsr().astype(np.float32)
    columns = [cg(matrix, seed, rtol=stage.tolerance, maxiter=stage.steps)[0] for seed in seeds.T]
    return (1 - stage.alpha) * np.stack(columns, axis=1).astype(np.float32)
