"""What README and documentation say is there: links, images, commands, imports, public names."""

import argparse
import ast
import importlib
import re
import runpy
import shlex
import sys
from functools import partial

import pytest
from toys.pages import ROOT, blocks, pages, prose, shell_commands

import densevl
from densevl.api.models import encoders, models
from densevl.core.config_files import find_config, load_config, parse_options
from densevl.weights import weights_table

PAGES = [str(page.relative_to(ROOT)) for page in pages()]
WORDS = re.compile(r"[^a-z0-9 _-]")


def commands():
    return sorted({(page, command) for page in PAGES for command in shell_commands(ROOT / page)})


def starting(*starts):
    """The commands that begin so, behind variables and ``torchrun``, which runs a script as ``python`` does."""
    found = []
    for page, command in commands():
        words = shlex.split(command, comments=True)
        while words and re.fullmatch(r"[A-Z_]+=\S+", words[0]):
            words = words[1:]
        if words[:2] == ["torchrun", "--nproc-per-node"]:
            words = ["python", *words[3:]]
        if words and " ".join(words).startswith(starts):
            found.append(pytest.param(words, id=f"{page}: {' '.join(words)}"))
    assert found
    return found


def slug(title):
    """The anchor of a heading, as Python-Markdown makes it."""
    named = re.search(r"\{ *#([\w-]+) *\}$", title)
    return named[1] if named else re.sub(r"[ -]+", "-", WORDS.sub("", title.lower()).strip())


class Parsed(Exception):
    """A script has come to the end of its arguments, and they are right."""


@pytest.fixture
def only_parse(monkeypatch):
    """Scripts end behind their arguments."""
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(self, *arguments, **named):
        parse(self, *arguments, **named)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)


def test_the_readme_is_a_front_page():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 160


def test_the_gate_runs_the_commands_of_the_readme():
    gate = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    quick = [words for words in shell_commands(ROOT / "README.md") if words.startswith("densevl ")][:2]
    for command in quick:
        assert command.removesuffix(" --out out") in gate, command
    assert "pip install -e '.[dev]'" in shell_commands(ROOT / "README.md")


@pytest.mark.parametrize("page", PAGES)
def test_links_and_images_are_there(page):
    file = ROOT / page
    text = prose(file)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        linked = (file.parent / path).resolve() if path else file
        assert linked.exists(), f"{page}: {target}"
        if anchor:
            titles = re.findall(r"^#+ (.*)$", prose(linked), re.MULTILINE)
            assert anchor in map(slug, titles), f"{page}: {target}"


def test_every_page_is_in_the_navigation():
    config = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = set(re.findall(r"[\w/-]+\.md", config[config.index("\nnav:") :]))
    assert named == {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}


@pytest.mark.parametrize("words", starting("densevl "))
def test_commands_parse(words):
    from densevl.cli import _parser

    _parser().parse_args(words[1:])


@pytest.mark.parametrize("page", PAGES)
def test_models_are_known(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    named = re.findall(r"--model ([a-z][\w@-]*)|densevl\.load\(\"([\w@-]+)\"|[`\"]([a-z][\w-]*@[a-z][\w-]*)[`\"]", text)
    for name in filter(None, (name for names in named for name in names)):
        head, _, encoder = name.partition("@")
        assert head in (*models(), *encoders()), f"{page}: {name}"
        assert not encoder or encoder in weights_table(), f"{page}: {name}"


@pytest.mark.parametrize("words", starting("python tools/", "python demo/", "python -m densevl"))
def test_scripts_are_there_and_take_the_arguments(words, monkeypatch, only_parse):
    module = words[1] == "-m"
    assert module or (ROOT / words[1]).is_file()
    if words[1].startswith("demo/"):
        return
    monkeypatch.setattr(sys, "argv", words[2:] if module else words[1:])
    run = importlib.import_module(words[2]).main if module else partial(runpy.run_path, str(ROOT / words[1]))
    with pytest.raises(Parsed):
        run(**({} if module else {"run_name": "__main__"}))


@pytest.mark.parametrize(
    "words", starting("python tools/test.py", "python tools/train.py", "densevl test", "densevl train")
)
def test_configs_take_their_options(words):
    pytest.importorskip("mmseg")
    from densevl.benchmarks.run import SHORT_NAMES

    config = find_config(words[2] if words[0] == "densevl" else ROOT / words[2])
    pairs = words[words.index("--cfg-options") + 1 :] if "--cfg-options" in words else []
    load_config(config, parse_options(pairs), SHORT_NAMES)


@pytest.mark.parametrize("page", PAGES)
def test_imports_resolve(page):
    for block in blocks(ROOT / page):
        if block.language != "python":
            continue
        for node in ast.walk(ast.parse(block.text)):
            if isinstance(node, ast.Import):
                for name in node.names:
                    importlib.import_module(name.name)
            elif isinstance(node, ast.ImportFrom):
                module = importlib.import_module(node.module)
                for name in node.names:
                    assert hasattr(module, name.name), f"{page}: {node.module} has no {name.name}"


@pytest.mark.parametrize("page", PAGES)
def test_files_and_names_of_the_code_are_there(page):
    """Paths such as `densevl/core/files.py` and names such as `densevl.core.files`, in code and links of a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for path in re.findall(r"`((?:densevl|configs|tests|tools|demo|docs)/[\w./-]*)`", text):
        assert (ROOT / path).exists(), f"{page}: {path}"
    dotted = re.findall(r"^::: ([\w.]+)$|\]\[(densevl[\w.]*)\]|`(densevl(?:\.\w+)+)`", text, re.MULTILINE)
    for name in filter(None, (name for names in dotted for name in names)):
        assert resolves(name), f"{page}: {name}"


def resolves(name):
    """Whether a dotted name is a module, or an attribute of one."""
    module, rest = name, []
    while module:
        try:
            found = importlib.import_module(module)
            break
        except ModuleNotFoundError:
            module, _, attribute = module.rpartition(".")
            rest.insert(0, attribute)
    else:
        return False
    for attribute in rest:
        if not hasattr(found, attribute):
            return False
        found = getattr(found, attribute)
    return True


def test_the_reference_has_every_public_name():
    text = "\n".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "reference").glob("*.md"))
    for name in set(densevl.__all__) - {"__version__"}:
        assert re.search(rf"^::: densevl\.{name}$", text, re.MULTILINE), name


def test_help_of_every_command_is_put_in():
    hooks = runpy.run_path(str(ROOT / "docs" / "hooks.py"))
    page = (ROOT / "docs" / "reference" / "command-line.md").read_text(encoding="utf-8")
    shown = hooks["on_page_markdown"](page)
    assert "<!--" not in shown
    assert "## densevl segment" in shown
    assert "--short-side" in shown
