"""FLOSS's fusion of experts against the outputs of its published code."""

import torch
from toys.dense_golden import assert_close, outputs

from densevl.classifiers.floss import merge_experts


def test_fusion():
    case = outputs("floss_fusion")
    default, experts = (torch.from_numpy(case[name]) for name in ("default", "experts"))
    merged = merge_experts(default.movedim(0, -1), enumerate(experts.movedim(1, -1))).movedim(-1, 0)
    assert_close(merged, case["fused"])
    assert (merged.argmax(0).numpy() == case["labels"]).all()
