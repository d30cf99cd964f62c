"""Bad inputs: each ends in an error of one line or in a right result, and nothing is left half written.

They run in a process of their own, in which the types of arguments are not checked, as users' processes are. A case
that fails is printed with its seed and number; ``python -m toys.bad_inputs --seed 0 --only 17`` runs it alone, in
``tests/``.
"""

import os
import subprocess
import sys

import pytest

LEAST = 1102


def ended(root, *arguments):
    """What the cases print."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(root), str(root / "tests")]),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "toys.bad_inputs", *arguments]
    done = subprocess.run(command, cwd=root / "tests", env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-2000:]}"
    return done.stdout


def test_every_fortieth_bad_input(root):
    assert "0 ended badly" in ended(root, "--step", "40")


@pytest.mark.slow
@pytest.mark.parametrize("seed", ["0", "1"])
def test_all_bad_inputs(root, seed):
    said = ended(root, "--seed", seed)
    assert int(said.split()[0]) >= LEAST
    assert "0 ended badly" in said
