"""Learning byte pairs."""

import gzip
from importlib.resources import files

from densevl.training.merges import learn_merges


def test_merges_are_the_most_frequent_pairs_in_order():
    assert learn_merges({"low": 5, "lower": 2, "newest": 6, "widest": 3}, 2) == [("s", "t</w>"), ("e", "st</w>")]


def test_learning_ends_where_every_word_is_one_symbol():
    merges = learn_merges({"abc": 1}, 10)
    assert len(merges) == 2
    assert "".join(merges[-1]) == "abc</w>"


def test_the_shipped_merges_come_from_the_recipe(tmp_path, monkeypatch):
    from densevl.training import merges

    monkeypatch.setattr(merges, "TARGET", tmp_path / "merges.txt.gz")
    merges.main()
    shipped = (files("densevl") / "data" / "mini" / "merges.txt.gz").read_bytes()
    assert gzip.decompress((tmp_path / "merges.txt.gz").read_bytes()) == gzip.decompress(shipped)
