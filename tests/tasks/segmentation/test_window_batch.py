from types import SimpleNamespace

import torch

from densevl.tasks.segmentation.window_batch import MOST, ON_CPU, fitting, windows_at_once

VIT_B = SimpleNamespace(patch_size=16, width=768, dtype=torch.bfloat16)


def test_a_window_needs_what_its_tokens_need():
    gigabyte = 2**30
    assert fitting(0, VIT_B, (448, 448)) == 1
    assert fitting(2 * gigabyte, VIT_B, (448, 448)) == gigabyte // (785 * 768 * 32 * 2)
    assert fitting(2 * gigabyte, VIT_B, (440, 441)) == fitting(2 * gigabyte, VIT_B, (448, 448)), "patches are whole"
    in_float32 = SimpleNamespace(**{**vars(VIT_B), "dtype": torch.float32})
    assert abs(2 * fitting(gigabyte, in_float32, (448, 448)) - fitting(gigabyte, VIT_B, (448, 448))) <= 1
    assert fitting(200 * gigabyte, VIT_B, (448, 448)) == MOST


def test_a_cpu_takes_few():
    assert windows_at_once(VIT_B, (448, 448), torch.device("cpu")) == ON_CPU
