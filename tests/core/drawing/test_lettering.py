import string
from pathlib import Path

import numpy as np
import pytest

from densevl.core.drawing import lettering
from densevl.core.drawing.lettering import INK, ink_on, letter, line_height, wrap, write, write_rimmed
from densevl.core.oklab import oklab
from densevl.core.palette import palette


def test_letters_have_ink_and_the_height_of_a_line() -> None:
    for size in (8, 13, 40):
        line = letter("traffic light gjpqy", size, 10_000)
        assert line.shape[0] == line_height(size)
        assert line.max() > 200
        assert line[[0, -1]].max() == 0, "ascenders and descenders stay inside"
    assert letter("mmm", 16, 10_000).shape[1] > letter("iii", 16, 10_000).shape[1]


def test_every_ascii_letter_has_its_own_shape() -> None:
    shapes = {letter(character, 20, 100).tobytes() for character in string.ascii_letters + string.digits}
    assert len(shapes) == 62


def test_white_space_is_one_space() -> None:
    np.testing.assert_array_equal(letter(" a\n\t b ", 16, 200), letter("a b", 16, 200))
    assert letter("", 16, 200).max() == 0


@pytest.mark.parametrize("text", ["the " * 75, "猫" * 300, "Жук " * 75, "W" * 300])
@pytest.mark.parametrize("width", [40, 333])
def test_long_text_ends_in_an_ellipsis(text: str, width: int) -> None:
    line = letter(text, 16, width)
    assert line.shape[1] <= width
    assert line.shape[1] > width - 3 * 16
    assert line[:, -16:].max() > 0


def test_an_ellipsis_is_used_only_where_needed() -> None:
    whole = letter("person on a bicycle", 16, 10_000)
    np.testing.assert_array_equal(letter("person on a bicycle", 16, whole.shape[1]), whole)
    cut = letter("person on a bicycle", 16, whole.shape[1] - 1)
    prefixes = ["person on a bicycle"[:n].rstrip() + "…" for n in range(1, 19)]
    assert any(np.array_equal(cut, letter(prefix, 16, 10_000)) for prefix in prefixes)


def test_a_line_is_written_in_ink_and_cut_at_the_edge() -> None:
    line = letter("HHH", 20, 200)
    paper = np.full((40, line.shape[1] + 10, 3), (250, 240, 230), np.uint8)
    write(paper, line, 5, 3)
    place = paper[5 : 5 + line.shape[0], 3 : 3 + line.shape[1]]
    np.testing.assert_array_equal(place[line == 255], np.broadcast_to(INK, (int((line == 255).sum()), 3)))
    assert (place[line == 0] == (250, 240, 230)).all()
    assert (paper[:5] == (250, 240, 230)).all()
    beyond = np.full_like(paper, 255)
    write(beyond, line, 30, paper.shape[1] - 8, (255, 0, 0))
    np.testing.assert_array_equal(beyond[30:, -8:, 1], 255 - line[:10, :8])


@pytest.mark.parametrize("text", ["Élan", "Жук", "ναός", "קוף", "قطة"])
def test_names_of_other_scripts_get_a_font_that_covers_them(text: str) -> None:
    tools = pytest.importorskip("fontTools.ttLib")
    font = lettering._font(text)
    assert font, "Matplotlib's font covers these"
    assert {ord(character) for character in text} <= tools.TTFont(font, fontNumber=0).getBestCmap().keys()
    assert letter(text, 20, 300).max() == 255


def test_chinese_names_are_no_boxes() -> None:
    if lettering._font("猫狗") is None:
        pytest.skip("no font of this machine has Chinese letters")
    cat, dog = letter("猫", 20, 100), letter("狗", 20, 100)
    assert cat.shape != dog.shape or (cat != dog).any()
    assert (cat > 128).sum() > 40


@pytest.mark.parametrize("text", ["a\x07b", "a\ud800b", "a\U0010ffffb", "a\ue123\uf8f0b"])
def test_what_no_font_has_is_escaped(text: str) -> None:
    expected = letter(text.encode("unicode_escape").decode(), 16, 10_000)
    np.testing.assert_array_equal(letter(text, 16, 10_000), expected)


def test_a_damaged_font_file_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.ttf").write_bytes(b"not a font")
    (tmp_path / "empty.ttf").touch()
    files = (str(tmp_path / "broken.ttf"), str(tmp_path / "empty.ttf"), *lettering._files())
    monkeypatch.setattr(lettering, "_files", lambda: files)
    lettering._font.cache_clear()
    assert Path(lettering._font("Жук") or "").name not in ("broken.ttf", "empty.ttf")
    lettering._font.cache_clear()


def test_text_is_broken_between_words_and_cut_at_last() -> None:
    text = "the heart that is right of the ring and above the orange square"
    lines = wrap(text, 16, 150, most=9)
    assert 2 < len(lines) < 9
    assert all(0 < line.shape[1] <= 150 for line in lines)
    words = text.split()
    taken = []
    for line in lines:
        ends = [n for n in range(1, len(words) + 1) if np.array_equal(line, letter(" ".join(words[:n]), 16, 150))]
        taken, words = [*taken, *words[: ends[0]]], words[ends[0] :]
    assert taken == text.split()
    assert len(wrap(text, 16, 150, most=2)) == 2
    assert wrap("  ", 16, 150, most=2) == []
    (only,) = wrap("w" * 300, 16, 150, most=3)
    assert only.shape[1] <= 150


@pytest.mark.parametrize(("y", "x"), [(0, 0), (1, 3), (30, 60)])
def test_a_rimmed_line_is_cut_at_the_edges(y: int, x: int) -> None:
    paper = np.full((40, 80, 3), 128, np.uint8)
    write_rimmed(paper, "HH", 20, 200, y, x)
    assert (paper > 240).all(2).any() or y == 30
    assert (paper < 60).all(2).any()


def test_ink_is_read_on_its_colour() -> None:
    for colour in palette(60):
        values = [oklab(np.array([c]))[0, 0] for c in (colour, ink_on(colour))]
        assert abs(values[0] - values[1]) > 0.28


def test_a_line_that_is_remembered_cannot_be_written_to():
    line = letter("remembered", 13, 200)
    assert line is letter("  remembered ", 13, 200)
    with pytest.raises(ValueError, match="read-only"):
        line[:] = 0
