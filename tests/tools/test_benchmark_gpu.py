"""``tools/benchmark_gpu.sh`` as it is run where there is a GPU, on the CPU and small."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from densevl.benchmarks.speed.section import write_section
from densevl.core.errors import UsageError

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


def run(root: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess:
    command = ["bash", str(root / "tools" / "benchmark_gpu.sh"), *arguments]
    environment = {**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", **settings}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@pytest.mark.slow
def test_the_table_comes_into_the_page(root: Path, tmp_path: Path) -> None:
    page = tmp_path / "speed.md"
    page.write_text("# Speed\n\n<!-- gpu -->\nNothing yet.\n<!-- /gpu -->\n\nThe end.\n")
    settings = {"DEVICE": "cpu", "MODEL": "mini", "BATCHES": "1,2", "PAGE": str(page), "COMPILED": ""}
    options = ["--size", "48x64", "--classes", "3", "--short-side", "48", "--repetitions", "1", "--dtype", "float32"]
    done = run(root, *options, **settings)
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    assert text.startswith("# Speed\n\n<!-- gpu -->\nMeasured on ")
    assert text.endswith("\n<!-- /gpu -->\n\nThe end.\n")
    assert text.count("| densevl, float32 | ") == 2
    assert "Nothing yet" not in text
    assert f"torch {torch.__version__}" in text


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu(root: Path, tmp_path: Path) -> None:
    done = run(root, PAGE=str(tmp_path / "none.md"))
    assert done.returncode == 2
    assert done.stderr.startswith("error: torch sees no GPU here")
    assert len(done.stderr.splitlines()) == 1


def test_the_page_has_a_place(root: Path, tmp_path: Path) -> None:
    assert "<!-- gpu -->" in (root / "docs" / "results" / "speed.md").read_text(encoding="utf-8")
    page = tmp_path / "page.md"
    for text in ("nothing", "<!-- gpu --> open", "<!-- /gpu --> <!-- gpu -->", "<!-- gpu --><!-- /gpu -->" * 2):
        page.write_text(text)
        with pytest.raises(UsageError, match="must hold <!-- gpu --> and <!-- /gpu --> once"):
            write_section(page, "gpu", "figures")
        assert page.read_text() == text
    with pytest.raises(UsageError, match="no such page"):
        write_section(tmp_path / "none.md", "gpu", "figures")
