"""The page of the methods of teaching names what is registered, and each by its kind."""

import re

from toys.few_examples import few_shot_task
from toys.pages import ROOT

from densevl.classifiers import CLASSIFIERS, KINDS
from densevl.core.registry import build

PAGE = (ROOT / "docs" / "guides" / "teaching-methods.md").read_text(encoding="utf-8")
ELSEWHERE = {"closed-set", "floss"}
"""Methods that learn from no example of the user, on pages of their own."""


def rows():
    """The cells of the rows of both tables that begin with a name."""
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in PAGE.splitlines() if line.startswith("| `")
    ]


def test_every_method_is_on_the_page_twice():
    named = [cells[0].strip("| `") for cells in rows()]
    assert sorted(named) == sorted(2 * list(set(CLASSIFIERS.rows) - ELSEWHERE))


def test_kinds_are_those_of_what_the_methods_make():
    texts, examples, _ = few_shot_task()
    examples = examples._replace(captions=examples.vectors)
    for name, kind in [(cells[0].strip("| `"), cells[1]) for cells in rows() if cells[1] in KINDS.rows]:
        fitted = build(CLASSIFIERS, name).fit(texts, None if name == "text" else examples, 20.0)
        assert isinstance(fitted, KINDS.get(kind)), name


def test_commits_are_those_of_the_modules():
    for cells in rows():
        commit = re.search(r" ([0-9a-f]{7})$", cells[2])
        row = CLASSIFIERS.rows[cells[0].strip("| `")]
        place = (row if isinstance(row, str) else row[0]).partition(":")[0].replace(".", "/")
        if commit:
            assert commit[1] in (ROOT / f"{place}.py").read_text(encoding="utf-8"), cells[0]
