from densevl.benchmarks.tables import DESCRIPTIONS, TABLES
from densevl.benchmarks.tables import contrast as table


def test_words_for_the_contrast_are_better_than_none(monkeypatch):
    monkeypatch.setattr(table, "SEEDS", (201, 202))
    monkeypatch.setattr(table, "MODELS", ("mini-maskclip",))
    found = table.contrast_table(2)
    assert found.head == ("IoU-single, mini-maskclip", "all", "grounds", "seen pairs", "never-seen pairs", "words")
    means = {name: sum(figures[0].values) / 2 for name, figures in found.rows}
    assert means["contrast, words that co-occur"] > means["contrast, neutral words"] - 5
    assert means["contrast, neutral words"] > means['literal: "background"'] > means["none: every pixel"]
    assert {name: figures[-1] for name, figures in found.rows}["none: every pixel"] == "0"


def test_it_is_in_the_list():
    assert "contrast" in TABLES
    assert "contrast" in DESCRIPTIONS
