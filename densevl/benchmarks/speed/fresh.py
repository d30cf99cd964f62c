"""Programs in processes of their own, so that what one needs of memory is not that of another."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from densevl.core.errors import DensevlError

__all__ = ["MEMORY", "run_fresh"]

MEMORY = """
from pathlib import Path

def memory(entry):
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(entry)), float("nan"))
"""
"""For a program: ``memory("VmHWM")`` is its peak in MiB, nan where the system does not tell."""


def run_fresh(
    program: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None
) -> tuple[float, Any]:
    """Run a program of Python; gives its seconds by the clock, and what its last line says as JSON.

    Args:
        program: its text.
        arguments: of it.
        environment: further variables.

    Raises:
        DensevlError: where it fails.
    """
    start, variables = os.times().elapsed, {**os.environ, **(environment or {})}
    command = [sys.executable, "-c", program, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
    clock = os.times().elapsed - start
    if ended.returncode:
        raise DensevlError(f"a run ended with {ended.returncode}: {ended.stderr.strip().splitlines()[-1:]}")
    return clock, json.loads(ended.stdout.splitlines()[-1])
