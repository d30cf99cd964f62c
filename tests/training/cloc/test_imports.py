"""Commands and the training of CLOC do without mmsegmentation and mmcv."""

import subprocess
import sys

CODE = """
import sys

import densevl.api.jobs.segment
from mmengine.registry import DATASETS, HOOKS, METRICS, MODELS
from densevl.core.config_files import load_config

config = load_config("cloc_train_scenes")
MODELS.build(config.model)
for loader in (config.train_dataloader, config.val_dataloader):
    DATASETS.build(loader.dataset)
METRICS.build(config.val_evaluator)
for hook in config.custom_hooks:
    HOOKS.build(hook)
assert not {"mmseg", "mmcv"} & set(sys.modules)
"""


def test_no_mmsegmentation():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
