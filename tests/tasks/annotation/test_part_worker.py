"""Parts in one process and in several: the same bytes, and one error where nothing can be labelled."""

import pytest

from densevl.core.engine import Engine
from densevl.core.errors import WeightsError
from densevl.tasks.annotation.part_worker import PartCounts, PartRecipe, shard_path
from densevl.tasks.annotation.parts import plan_parts
from densevl.tasks.annotation.settings import LabelSettings


def test_each_part_becomes_a_shard_with_its_counts(tiny_owlv2, pictures, tmp_path):
    settings = LabelSettings({"type": "owlv2", "weights": str(tiny_owlv2[0])}, threshold=0.3, batch=2, offline=True)
    parts = plan_parts([pictures], 3)
    found = list(Engine().run(PartRecipe(settings, tmp_path / "a", "webdataset"), parts, 1))
    assert [(one.item, one.said[0], one.said[2], one.failure) for one in found] == [
        (part, len(part.images), 0, None) for part in parts
    ]
    assert all(isinstance(one.said, PartCounts) and one.said.regions > 3 for one in found)
    again = list(Engine().run(PartRecipe(settings, tmp_path / "b", "webdataset"), [*parts, parts[0]], 1))
    assert [one.said for one in again] == [one.said for one in [*found, found[0]]]
    for part in parts:
        one, two = (shard_path(tmp_path / name, part.index, "webdataset").read_bytes() for name in "ab")
        assert one == two


def test_what_no_part_can_be_labelled_with_is_told_as_it_was(pictures, tmp_path):
    settings = LabelSettings({"type": "owlv2", "weights": str(tmp_path)}, offline=True)
    with pytest.raises(WeightsError, match=r"fetch config\.json"):
        list(Engine().run(PartRecipe(settings, tmp_path, "webdataset"), plan_parts([pictures], 3), 1))
    assert not shard_path(tmp_path, 0, "webdataset").exists()
