"""One folder holds one job."""

import json

import pytest

from densevl.api.jobs.manifest import MANIFEST, begin, compare, described, read_manifest, refuse_other
from densevl.core.errors import OutputError, UsageError

ONE = described("segment", "1", model="mini", vocabulary={"classes": [["cat"], ["sofa", "couch"]], "name": "custom"})
TWO = described("segment", "2", model="mini", vocabulary={"classes": [["dog"]], "name": "mine"})


def test_a_job_goes_on_and_another_is_refused(tmp_path):
    out = tmp_path / "out"
    assert read_manifest(out) is None
    begin(out, ONE)
    assert read_manifest(out) == ONE == json.loads((out / MANIFEST).read_text())
    assert '      ["sofa", "couch"]\n' in (out / MANIFEST).read_text()
    begin(out, {**ONE, "densevl": "another version"})
    with pytest.raises(UsageError) as refused:
        begin(out, TWO, clear=lambda before: None)
    assert 'vocabulary.classes [["cat"], ["sofa", "couch"]] there, [["dog"]] here' in str(refused.value)
    assert "--out" in str(refused.value)
    assert "--overwrite" in str(refused.value)
    assert "name" not in compare(ONE, TWO).split("classes")[0]
    assert read_manifest(out) == ONE


def test_what_is_the_same_is_not_named(tmp_path):
    words = {"classes": (("cat",), ("sofa", "couch"))}
    begin(tmp_path, described("segment", "1", model="mini", vocabulary=words))
    before = read_manifest(tmp_path)
    assert compare(before, described("segment", "2", model="photo", vocabulary=words)) == (
        'model "mini" there, "photo" here'
    )


def test_a_job_that_is_begun_anew_clears_what_was_there(tmp_path):
    cleared = []
    begin(tmp_path, ONE, overwrite=True, clear=cleared.append)
    assert cleared == []
    begin(tmp_path, TWO, overwrite=True, clear=cleared.append)
    assert cleared == [ONE]
    assert read_manifest(tmp_path) == TWO


def test_a_folder_of_another_command_is_never_taken(tmp_path):
    begin(tmp_path, ONE)
    with pytest.raises(UsageError, match="results of `densevl segment`; name another folder"):
        begin(tmp_path, described("embed", "1"), overwrite=True, clear=lambda before: None)


@pytest.mark.parametrize(("name", "command"), [("part-00000.parquet", "embed"), ("labelling.json", "label-regions")])
def test_folders_without_a_manifest_are_known_by_their_files(tmp_path, name, command):
    refuse_other(tmp_path / "none", "segment")
    (tmp_path / name).write_text("")
    refuse_other(tmp_path, command)
    with pytest.raises(UsageError, match=f"results of `densevl {command}`; name another folder"):
        begin(tmp_path, ONE, overwrite=True, clear=lambda before: None)
    assert not (tmp_path / MANIFEST).exists()


@pytest.mark.parametrize("text", ["{", "[]", "{}", "\xff"])
def test_a_damaged_manifest_is_said(tmp_path, text):
    (tmp_path / MANIFEST).write_text(text, "latin-1")
    with pytest.raises(UsageError, match=r"job\.json is no manifest"):
        begin(tmp_path, ONE)


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputError, match="cannot write to"):
        begin(tmp_path / "out", ONE)
