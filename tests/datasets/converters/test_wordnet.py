"""WordNet's files as a lexicon, on a WordNet of a few lines in the form of wndb(5)."""

import pytest

from densevl.core.errors import UsageError
from densevl.datasets.converters.wordnet import lexicon_data, read_synsets

NOUNS = """\
  1 This is the licence.
00000001 03 n 01 thing 0 001 ~ 00000002 n 0000 | what there is
00000002 05 n 02 animal 0 beast 0 001 @ 00000001 n 0000 | a living thing; "a fine animal"
00000003 05 n 01 bird 0 001 @ 00000002 n 0000 | it flies; `like so`
00000004 05 n 01 crane 0 001 @ 00000003 n 0000 | a wading bird
00000005 06 n 01 tool 0 001 @ 00000001 n 0000 | it helps
00000006 06 n 01 crane 1 001 @ 00000005 n 0000 | it lifts
00000007 18 n 01 Crane 0 001 @i 00000001 n 0000 | a writer
00000008 05 n 01 giraffe 0 001 @ 00000002 n 0000 | it is tall
00000009 06 n 01 toy_bird 0 001 @ 00000005 n 0000 | it does not fly
00000010 06 n 01 beast 0 001 @ 00000005 n 0000 | a heavy machine
"""
INDEX = """\
  1 This is the licence.
thing n 1 1 ~ 1 0 00000001
animal n 1 1 @ 1 0 00000002
beast n 2 1 @ 2 0 00000010 00000002
bird n 1 1 @ 1 0 00000003
crane n 3 1 @ 3 0 00000007 00000006 00000004
tool n 1 1 @ 1 1 00000005
giraffe n 1 1 @ 1 0 00000008
toy_bird n 1 1 @ 1 0 00000009
"""


@pytest.fixture
def folder(tmp_path):
    for name, text in (("data.noun", NOUNS), ("index.noun", INDEX), ("noun.exc", "beasties beast\nmice mouse\n")):
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_synset_is_read(folder):
    one = read_synsets(folder / "data.noun")["00000002"]
    assert (one.names, one.above, one.meaning, one.subject) == (
        ("animal", "beast"),
        ("00000001",),
        "a living thing",
        "animal",
    )
    assert read_synsets(folder / "data.noun")["00000007"].instance


def test_what_is_above_the_classes_is_kept_with_its_senses(folder):
    data = lexicon_data(folder, ["n00000004"])
    names = [row[0][0] for row in data["synsets"]]
    assert names == ["thing", "animal", "bird", "crane"]
    assert data["classes"] == [3]
    assert [row[1] for row in data["synsets"]] == [[], [0], [1], [2]]
    assert [row[4] for row in data["synsets"]] == [6, 2, 1, 1]  # kinds: what has nothing below itself
    assert data["senses"]["crane"] == ["it lifts", 3]  # more often a tool; the writer cannot be meant
    assert data["senses"]["beast"] == ["a heavy machine", 1]
    assert data["kin"] == {"giraffe": 1, "toy bird": 0, "tool": -1}  # a toy bird is no bird
    assert data["plurals"] == {"beasties": "beast"}


def test_two_senses_that_are_known_stand_in_the_order_of_wordnet(folder):
    data = lexicon_data(folder, ["n00000004", "n00000006"])
    assert data["senses"]["crane"] == [5, 3]


def test_the_files_are_those_of_wordnet(folder, tmp_path):
    with pytest.raises(UsageError, match="no synset 12345678"):
        lexicon_data(folder, ["n12345678"])
    with pytest.raises(UsageError, match=r"cannot read .*give the folder of WordNet 3\.0's files"):
        lexicon_data(tmp_path / "none", ["n00000004"])
    (folder / "data.noun").write_text("something else\n")
    with pytest.raises(UsageError, match=r"no file of WordNet 3\.0"):
        lexicon_data(folder, ["n00000004"])
