"""What is said of the kinds of the images of an index, in its file."""

import json

import pytest
import torch

from densevl.api.jobs.kinds import FAMILIARITY, Kinds, read_familiarity
from densevl.classifiers.familiarity import Familiarity


@pytest.fixture
def known():
    return Familiarity.fit(torch.randn(64, 4, generator=torch.Generator().manual_seed(0)), "m@1", "images of a test")


def test_what_is_said_is_there_again_for_the_same_images_in_the_same_state(known, tmp_path):
    kinds = Kinds(tmp_path, known)
    records = [{"p": 0.25, "known": known.what, "unknown": False}, {"p": 1e-06, "known": known.what, "unknown": True}]
    kinds.note(str(tmp_path / "a \n.png"), records[0], (5, 2**47))
    kinds.note("s3://bucket/b.png", records[1], (7, 1, 2, 3))
    kinds.save()
    again = Kinds(tmp_path, known)
    assert again.of(str(tmp_path / "a \n.png"), (5, 2**47)) == records[0]
    assert again.of("s3://bucket/b.png", (7, 1, 2, 3)) == records[1]
    assert again.of("s3://bucket/b.png", (7, 1, 2, 4)) is None
    assert again.of("s3://bucket/c.png", (7, 1, 2, 3)) is None
    written = json.loads((tmp_path / FAMILIARITY).read_text(encoding="utf-8"))
    assert written["images"]["./a \n.png"] == {**records[0], "state": [5, 2**47]}
    assert list(read_familiarity(tmp_path)) == [str(tmp_path / "a \n.png"), "s3://bucket/b.png"]
    assert read_familiarity(tmp_path, "another test") == {}
    before = (tmp_path / FAMILIARITY).stat().st_mtime_ns
    again.save()
    assert (tmp_path / FAMILIARITY).stat().st_mtime_ns == before, "nothing new is not written"


def test_files_of_earlier_versions_and_damaged_ones(known, tmp_path):
    record = {"p": 0.5, "known": known.what, "unknown": False, "state": [1, 2]}
    earlier = {"test": known.digest, "images": {"./a.png": record}}
    (tmp_path / FAMILIARITY).write_text(json.dumps(earlier, ensure_ascii=False), encoding="utf-8")
    kinds = Kinds(tmp_path, known)
    assert kinds.of(str(tmp_path / "a.png"), (1, 2)) == {"p": 0.5, "known": known.what, "unknown": False}
    kinds.save()
    assert read_familiarity(tmp_path) == {str(tmp_path / "a.png"): record}
    for damaged in ('{"test": 1', '{"test": "x", "images": {\n"a": 3', "[]", ""):
        (tmp_path / FAMILIARITY).write_text(damaged)
        assert Kinds(tmp_path, known).of(str(tmp_path / "a.png"), (1, 2)) is None
        assert read_familiarity(tmp_path) == {}
