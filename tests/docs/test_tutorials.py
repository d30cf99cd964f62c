"""The tutorials, run as a reader runs them.

The blocks of a page run in their order in one folder, which holds `demo`, `configs` and `tools`.

* ``console``: what follows a line ``$ command`` is its output.
* ``python``: all blocks of a page are one program; a block ``text`` behind one is what it printed.
* ``sh``: shown and not run.

``...`` in an output stands for anything.
"""

import contextlib
import doctest
import io
import os
import re
import runpy
import shlex
import sys
from unittest import mock

import pytest
from toys.pages import ROOT, blocks

from densevl import cli

TUTORIALS = sorted(page.name for page in (ROOT / "docs" / "tutorials").glob("*.md") if page.stem != "index")
RUN = [*(f"docs/tutorials/{name}" for name in TUTORIALS), "docs/guides/python.md", "docs/guides/search.md"]
RUN += ["docs/guides/refer.md", "docs/guides/mmsegmentation.md", "docs/install.md"]


def assert_output(expected, actual, where):
    """Lines are alike, but for ``...``; how many blanks stand between two words does not count."""
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    if not doctest.OutputChecker().check_output(expected, actual, flags):
        pytest.fail(f"{where}: expected\n{expected}\ngot\n{actual}", pytrace=False)


def shell(command, where):
    """What a command printed, without what it printed to stderr."""
    program, *arguments = shlex.split(command)
    assert program in ("densevl", "python"), (
        f"{where}: of commands only densevl and python are run; others belong in sh"
    )
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        code = cli.main(arguments) if program == "densevl" else script(arguments)
    assert code == 0, f"{where}: exit code {code}"
    return printed.getvalue()


def script(arguments):
    """The exit code of a script, run in this process; 0 where it ends by itself."""
    with mock.patch.object(sys, "argv", arguments):
        try:
            runpy.run_path(arguments[0], run_name="__main__")
        except SystemExit as end:
            return end.code
    return 0


def run_console(text, where):
    """Run the commands of a block, and compare the output of each."""
    for piece in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, expected = piece.partition("\n")
        assert_output(expected, shell(command, where), f"{where}: {command}")


@pytest.mark.parametrize("page", RUN)
def test_it_runs(page, tmp_path, monkeypatch):
    text = (ROOT / page).read_text(encoding="utf-8")
    if "tools/test.py" in text or "from mmseg" in text:
        pytest.importorskip("mmseg")
    for folder in ("demo", "configs", "tools"):
        os.symlink(ROOT / folder, tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    program = {"__name__": "tutorial"}
    printed = ""
    for block in blocks(ROOT / page):
        where = f"{page}:{block.line}"
        if block.language == "console":
            run_console(block.text, where)
        elif block.language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as output:
                exec(compile("\n" * block.line + block.text, page, "exec"), program)
            printed = output.getvalue()
        elif block.language == "text":
            assert_output(block.text, printed, where)


def test_a_wrong_output_is_found():
    with pytest.raises(pytest.fail.Exception, match="expected"):
        assert_output("a\n", "b\n", "here")
