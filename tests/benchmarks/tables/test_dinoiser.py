"""The table of refinements: its oracle, its counting against the benchmark, its Markdown."""

import numpy as np
import pytest
import torch

from densevl.api.loading import load
from densevl.benchmarks.run import evaluate
from densevl.benchmarks.segmentation.datasets import ScenesDataset
from densevl.benchmarks.tables import TABLES, Table, measure
from densevl.benchmarks.tables.dinoiser import Row, count, oracle, true_regions
from densevl.core.errors import UsageError
from densevl.datasets.scenes import render
from densevl.metrics.confusion import scores_of


def test_true_regions_are_the_majority_of_each_patch() -> None:
    scene = render(1, 3, size=64, split="val")
    regions = true_regions(scene, (8, 8)).flatten()
    most = []
    for row in range(8):
        for column in range(8):
            cut = (slice(8 * row, 8 * row + 8), slice(8 * column, 8 * column + 8))
            pairs = list(zip(scene.instances[cut].ravel(), scene.labels[cut].ravel(), strict=True))
            counted = {pair: pairs.count(pair) for pair in pairs}
            first = max(counted.values())
            most.append({pair for pair, n in counted.items() if n == first})
    for p in range(64):
        for q in range(64):
            if len(most[p]) == len(most[q]) == 1:
                assert bool(regions[p] == regions[q]) == (most[p] == most[q])


def test_oracle_makes_each_region_uniform() -> None:
    segmentor = load("mini", device="cpu", refiners=(), short_side=64).segmentor
    scene = render(1, 0, size=64, split="val")
    (encoded,) = segmentor.encode([scene.image])
    for factor in (1, 4):
        side = 8 * factor
        pooled = oracle(encoded, scene, factor).features
        assert (pooled.patch_size, pooled.grid.shape[2:]) == (8 // factor, (side, side))
        regions = true_regions(scene, (side, side)).flatten()
        before = encoded.features.grid[0].repeat_interleave(factor, 1).repeat_interleave(factor, 2).flatten(1)
        for patch in range(0, side * side, 7 * factor * factor):
            mean = before[:, regions == regions[patch]].mean(1)
            assert torch.allclose(pooled.grid[0].flatten(1)[:, patch], mean, atol=1e-4)


def test_counts_what_the_benchmark_counts(tmp_path: pytest.TempPathFactory) -> None:
    report = evaluate("maskclip_scenes", work_dir=tmp_path, options={"test_dataloader.dataset.length": 5})
    dataset = ScenesDataset(length=5)
    (matrix,) = count([Row("MaskCLIP", load("mini-maskclip", device="cpu").segmentor)], dataset)
    scores = scores_of(matrix, dataset.vocabulary.names)
    assert np.allclose(scores.iou, report.scores.iou, equal_nan=True)


def test_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, row = (
        ScenesDataset(length=3, size=64),
        Row("any", load("mini", device="cpu", refiners=(), short_side=64).segmentor),
    )
    whole = count([row], dataset)[0]
    monkeypatch.setattr("densevl.benchmarks.tables.dinoiser.SCENES_AT_ONCE", 2)
    assert torch.equal(whole, count([row], dataset)[0])
    assert whole.sum() == 3 * 64 * 64


def test_markdown() -> None:
    table = Table(("set", "mIoU"), [("a", (12.345,)), ("b", (7.0,))], "two sets")
    assert str(table) == "| set | mIoU |\n| --- | --- |\n| a | 12.3 |\n| b | 7.0 |\n\ntwo sets"


def test_measures_by_name() -> None:
    table = measure("dinoiser", 2)
    assert "dinoiser" in TABLES
    names = [name for name, _ in table.rows]
    assert names[0] == "MaskCLIP (28×28)"
    assert names[2:4] == ["MaskCLIP at the size of the rows below (24×24)", "+ DINOiser (96×96)"]
    assert names[-1] == "oracle: affinities of the true instances, sub-patches (96×96)"
    gain, possible = (table.rows[i][1][0] - table.rows[0][1][0] for i in (3, -1))
    assert table.note.endswith(f"the heads add {gain:.1f}, true affinities on the same grid {possible:.1f}")
    assert all(0 <= value <= 100 for _, figures in table.rows for value in figures if value == value)
    assert len(table.head) == 1 + len(table.rows[0][1])


@pytest.mark.parametrize(("name", "scenes"), [("dinosaur", 2), ("dinoiser", 0)])
def test_bad_names_and_numbers(name: str, scenes: int) -> None:
    with pytest.raises(UsageError):
        measure(name, scenes)
