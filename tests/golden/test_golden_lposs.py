"""LPOSS and LPOSS+ against the outputs of their published code: seeds, solutions, merged scores, labels."""

import torch
from toys.dense_golden import assert_close, cosines, features, outputs, picture, tokens
from toys.golden import rules

from densevl.core.features import DenseFeatures
from densevl.dense.operations.lab import lab
from densevl.dense.stages.lposs import LPOSS
from densevl.dense.stages.lposs_pixels import LPOSSPixels
from densevl.tasks.segmentation.labelling import scores
from densevl.tasks.segmentation.windows import WindowPlan

PATCH = 16


def test_patches():
    case = outputs("lposs_patches")
    plan = WindowPlan(tuple(case["size"].tolist()), case["window"], case["stride"])
    grid, dim = plan.grid(PATCH), case["dim"]
    assert len(plan) == case["windows"]
    clip, dino = (
        torch.stack([tokens(f"{case['image']}.{kind}.{i}", grid, dim) for i in range(len(plan))])
        for kind in ("clip", "dino")
    )
    text = rules().rule_text(case["image"] + ".text", case["seeds"].shape[1], dim)
    seeds = torch.stack([cosines(one, text) for one in clip])
    assert_close(seeds.movedim(1, -1).flatten(0, 2), case["seeds"])
    names = ("gamma", "sigma", "alpha", "tolerance")
    given = {name: case[name] for name in names}
    stage = LPOSS(case["k"], steps=case["iterations"], power=case["distance_power"], **given)
    found = stage(seeds, DenseFeatures(clip, PATCH, "rule", keys=dino), windows=plan.boxes) / (1 - case["alpha"])
    assert_close(found.movedim(1, -1).flatten(0, 2), case["solution"])
    merged = scores(found, plan, PATCH, plan.size)
    assert_close(merged[:, ::8, ::8], case["merged_sub"])
    assert (merged.argmax(0)[::4, ::4].numpy() == case["labels_sub"]).mean() >= 0.999


def test_pixels():
    case = outputs("lposs_pixels")
    size, image = tuple(case["size"].tolist()), picture(case)
    assert_close(lab(image)[:, ::8, ::8], case["lab_sub"])
    coarse = (len(case["solution_sub"]), size[0] // 16 + 1, size[1] // 16 + 1)
    seeds = torch.from_numpy(features().rule_scores(case["image"] + ".scores", coarse, size))
    stage = LPOSSPixels(case["tau"], case["reach"], case["alpha"], case["iterations"], case["tolerance"])
    found = stage(seeds, image) / (1 - case["alpha"])
    assert_close(found[:, ::2, ::2], case["solution_sub"])
    assert (found.argmax(0).numpy() == case["labels"]).mean() >= 0.999
