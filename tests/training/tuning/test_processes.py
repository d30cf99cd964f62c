"""Tuning by two processes, as ``torchrun`` starts them."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from densevl.training.tuning.run import run_tuning

SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import torch
from toys.tuning import tuned_colours
from densevl.training.tuning.run import run_tuning, several_processes
with several_processes() as (rank, _):
    model = tuned_colours(Path({folder!r}), flip=True)
    run_tuning(model, 6)
    if rank == 0:
        torch.save(model.state_dict(), {out!r})
"""


@pytest.mark.slow
def test_two_processes_end_with_the_numbers_of_one(tmp_path):
    from toys.tuning import tuned_colours

    (tmp_path / "images").mkdir()
    single = tuned_colours(tmp_path / "images", flip=True)
    run_tuning(single, 6)
    tests, out = str(Path(__file__).parents[2]), str(tmp_path / "state.pt")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(tests=tests, folder=str(tmp_path / "images"), out=out))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    found = torch.load(out, weights_only=True)
    for name, value in single.state_dict().items():
        torch.testing.assert_close(found[name], value, atol=1e-6, rtol=0)
