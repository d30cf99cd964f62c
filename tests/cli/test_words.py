"""``densevl words``, and what other commands say of the words that a model read."""

import json

import numpy as np
import pytest
from PIL import Image

from densevl.cli import main


def words(capsys, *arguments):
    assert main(["words", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


def test_words_by_their_beginning(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    lines = words(capsys, "crane")
    assert lines[0].split() == ["word", "classes", "meaning"]
    assert [line.split("  ")[0] for line in lines[1:]] == ["crane (device)", "crane (bird)"]
    assert max(map(len, lines)) <= 100


def test_all_words_for_programs(capsys):
    found = json.loads("\n".join(words(capsys, "--json")))
    assert len(found) > 3000
    dog = next(one for one in found if one["word"] == "dog")
    assert list(map(int, dog["senses"][0]["classes"])) == list(range(151, 269))


def test_those_that_cover_most_come_without_a_beginning(capsys):
    lines = words(capsys)
    counts = [int(line.split("  ", 1)[1].split()[0]) for line in lines[1:] if line and "cover most" not in line]
    assert "animal" in {line.split("  ")[0] for line in lines}
    assert counts[0] > 400
    assert lines[-1].startswith("These cover most of ")


def test_a_clip_takes_any_text(capsys):
    assert "takes any text" in words(capsys, "--model", "mini")[0]


def test_no_word_starts_so(capsys):
    assert main(["words", "dgo"]) == 2
    assert "did you mean" in capsys.readouterr().err


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("words") / "grey.png"
    Image.fromarray(np.full((32, 32, 3), 128, np.uint8)).save(path)
    return path


def test_segment_says_what_it_made_of_the_words(picture, tmp_path, capsys):
    arguments = ["segment", str(picture), "red dog; crane", "--model", "photo", "--short-side", "32"]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().err
    assert "densevl: 'red dog': read as 'dog'; 'red' is not used" in said
    assert "write 'crane (bird)' for" in said


def test_segment_refuses_words_that_are_not_known(picture, tmp_path, capsys):
    assert main(["segment", str(picture), "cat, giraffe, xyzzy", "--model", "photo", "--out", str(tmp_path)]) == 2
    assert "2 of 3 words are not known: 'giraffe' (near it: ruminant), 'xyzzy'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
