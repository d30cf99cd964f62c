"""The whole path on real photos, by the commands of the config: raw annotations, training, evaluation, figure."""

import json
import os
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_twenty_images_of_coco_are_learned_by_heart(shared, root, tmp_path):
    def run(*words: object) -> str:
        done = subprocess.run(
            [sys.executable, *map(str, words)],
            cwd=root,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(root)},
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    data, out = shared / "data/coco", tmp_path / "out"
    where = ["--cfg-options", f"train_dataloader.dataset.data_root={data}"]
    run("tools/train.py", "configs/cloc_overfit_coco.py", "--work-dir", out, *where)
    options = [f"data_root={data}", "model.model.segmentor.encoder.arch=mini-clip"]
    options += [f"weights={out / 'clip.safetensors'}", f"prompter={out / 'prompter.safetensors'}"]
    test = ["tools/test.py", "configs/cloc_coco_regions.py", "--limit", 20, "--work-dir", tmp_path / "test"]
    printed = run(*test, "--cfg-options", *options)
    (report,) = (tmp_path / "test").rglob("results.json")
    scores = json.loads(report.read_text())["scores"]
    assert scores["regions"] == 201
    assert scores["top_1"] > 95, printed
    assert scores["mAcc"] > 90, printed
