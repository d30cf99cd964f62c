"""CLOC is trained without mmsegmentation and mmcv."""

import subprocess
import sys

import pytest

MODEL = "import densevl.training.cloc.model"
CONFIG = """
from mmengine.registry import DATASETS, HOOKS, METRICS, MODELS
from densevl.core.config_files import load_config
config = load_config("cloc_train_scenes")
MODELS.build(config.model)
for loader in (config.train_dataloader, config.val_dataloader):
    DATASETS.build(loader.dataset)
METRICS.build(config.val_evaluator)
for hook in config.custom_hooks:
    HOOKS.build(hook)
"""


@pytest.mark.parametrize("code", [MODEL, CONFIG], ids=["model", "config"])
def test_no_mmsegmentation(code):
    check = "\nimport sys\nassert not {'mmseg', 'mmcv'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code + check], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
