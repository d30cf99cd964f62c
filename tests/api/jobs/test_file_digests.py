"""Hashes of files that are remembered."""

import os

import pytest

from densevl.api.jobs import file_digests
from densevl.api.jobs.file_digests import FileDigests
from densevl.api.jobs.kinds import read_familiarity
from densevl.weights.download import file_sha256


@pytest.fixture
def read(monkeypatch):
    """The files that have been read."""
    paths = []
    monkeypatch.setattr(file_digests, "file_sha256", lambda path: paths.append(path.name) or file_sha256(path))
    return paths


def test_a_file_is_read_again_only_where_it_looks_changed(tmp_path, read):
    file, kept = tmp_path / "a.jpg", tmp_path / "index" / "state.json"
    file.write_bytes(b"first")
    first = FileDigests(kept)
    digest = first.of(file)
    assert digest == (5, int(file_sha256(file)[:12], 16))
    first.save()
    assert FileDigests(kept).of(file) == digest
    assert read == ["a.jpg"]
    os.utime(file, (1, 1))
    again = FileDigests(kept)
    assert again.of(file) == digest, "the content decides, not the time"
    assert read == ["a.jpg", "a.jpg"]
    file.write_bytes(b"other")
    os.utime(file, (2, 2))
    assert again.of(file) != digest


def test_what_cannot_be_read_has_no_digest_and_a_damaged_memory_is_empty(tmp_path, read):
    kept = tmp_path / "state.json"
    (tmp_path / "a.jpg").write_bytes(b"first")
    for content in ("{", "[]", '{"a.jpg": 3}', '{"./a.jpg": ["x"]}', "\udcff"):
        kept.write_text(content, errors="surrogateescape")
        assert FileDigests(kept).of(tmp_path / "a.jpg")[0] == 5
    assert FileDigests(kept).of(tmp_path / "none.jpg") == ()
    assert len(read) == 5


def test_a_deeply_nested_memory_is_empty(tmp_path):
    (tmp_path / "state.json").write_text("[" * 100_000)
    assert FileDigests(tmp_path / "state.json").of(tmp_path / "none.jpg") == ()
    (tmp_path / "familiarity.json").write_text("[" * 100_000)
    assert read_familiarity(tmp_path) == {}
