import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from toys.published_checkout import write_checkout

from densevl.benchmarks.speed import configured_segmentor, run_benchmark
from densevl.benchmarks.speed.batches import encoder_operations, matrix_rate, throughput
from densevl.core.errors import UsageError
from densevl.core.vocabulary import Vocabulary
from densevl.datasets.scenes import render


@pytest.fixture(scope="module")
def segmentor():
    return configured_segmentor("mini", "rule", short_side=64, window=None)


def test_operations_are_those_that_torch_counts(segmentor):
    """With gradients and plain attention: torch does not count what its fused operators do."""
    encoder = segmentor.encoder
    x = torch.rand(1, 65, encoder.width, requires_grad=True)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        for block in encoder.model.visual.transformer.resblocks[:-1]:
            x = block(x)
    last = encoder_operations(encoder, 65) - counter.get_total_flops()
    wide = encoder.model.visual.transformer.resblocks[-1].mlp.c_fc.out_features
    assert last == 2 * 65 * (2 * encoder.width**2 + 2 * encoder.width * wide)


def test_batches(segmentor):
    texts = segmentor.embed(Vocabulary.parse("circle, star"))
    before = segmentor.window_batch
    figures = throughput(segmentor, texts, render(0, 0, (64, 90)).image, [1, 3], repetitions=1)
    assert [one.batch for one in figures] == [1, 3]
    assert all(one.utilisation > 0 and one.images_per_second > 0 for one in figures)
    assert segmentor.window_batch == before
    with pytest.raises(UsageError, match="above 0"):
        throughput(segmentor, texts, render(0, 0, (64, 90)).image, [0])


def test_the_matrix_rate_is_a_rate():
    assert matrix_rate(torch.device("cpu"), torch.float32, side=128) > 1e6


def test_batches_by_name(tmp_path):
    options = {"weights": "rule", "dtype": "float32", "classes": 3, "size": "64x80", "device": "cpu", "repetitions": 1}
    checkout = write_checkout(tmp_path, image=128, patch=8, width=192, joint=192)
    options |= {"refiners": [], "temperature": 100.0, "short_side": 64, "window": 64, "stride": 32}
    table = run_benchmark("mini", batches="1,2", against=checkout, **options)
    assert table.head[-2:][0] == "× plain"
    assert table.head[-1].startswith("× published at no commit")
    names = [name.partition(" at")[0] for name, _ in table.rows]
    assert names == ["plain, float32", "published", "densevl, float32", "densevl, float32"]
    assert [cells[0] for _, cells in table.rows] == ["1", "1", "1", "2"]
    rates = [float(cells[1]) for _, cells in table.rows]
    ratio = float(table.rows[3][1][-2].removesuffix("×"))
    assert ratio == pytest.approx(rates[3] / rates[0], rel=0.1, abs=0.06)
    with pytest.raises(UsageError, match="such as 1,4,16"):
        run_benchmark("mini", batches="1,,2")


def test_a_gpu_that_is_not_there():
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(UsageError, match="torch sees no GPU here"):
        run_benchmark("mini", weights="rule", batches="1")
