"""The start of `densevl segment`: libraries that it does not need are not imported, however they creep in."""

import json
import subprocess
import sys

import pytest

HEAVY = {
    "IPython",
    "matplotlib.pyplot",
    "mmcv",
    "mmengine.runner",
    "mmseg",
    "pandas",
    "ray",
    "scipy.optimize",
    "scipy.sparse",
    "scipy.stats",
    "sklearn",
    "supervision",
    "tensorboard",
}
"""Libraries that need a second or so, and that no image needs."""

MODELS = {"open_clip", "sentencepiece", "sympy", "timm", "torch._dynamo", "torchvision", "transformers"}
"""Libraries of models, and what they bring with them: photo and a plain CLIP are built without them."""

PROGRAM = """
import json, sys
from densevl.cli import main
code = main(sys.argv[1:])
print(json.dumps(sorted(sys.modules)))
sys.exit(code)
"""


@pytest.mark.parametrize(("model", "unwanted"), [("photo", HEAVY | MODELS), ("mini-maskclip", HEAVY | MODELS)])
def test_an_image_is_segmented_without_libraries_that_it_does_not_need(root, tmp_path, model, unwanted):
    command = ["segment", str(root / "demo/photos/cat.png"), "cat", "--model", model, "--out", str(tmp_path / "out")]
    command += ["--set", "short_side=64", "--offline", "--save", "labels,coco"]
    ended = subprocess.run([sys.executable, "-c", PROGRAM, *command], capture_output=True, text=True, check=True)
    assert unwanted.isdisjoint(json.loads(ended.stdout.splitlines()[-1]))
