import runpy
import sys

import pytest

from densevl.core.errors import UsageError


def test_without_mmsegmentation_the_cure_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "mmseg.registry", None)
    with pytest.raises(UsageError, match=r"need mmsegmentation.*pip install -e '\.\[bench\]'"):
        runpy.run_module("densevl.benchmarks.segmentation.upstream")
