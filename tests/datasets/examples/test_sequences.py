"""Sequences with names: folders of frames and lists, and what is wrong with them."""

import json

import numpy as np
import pytest
from PIL import Image

from densevl.core.errors import UsageError
from densevl.datasets.examples import SequenceExample, frames_of, given_sequences, read_sequences


def frames(folder, count=2):
    folder.mkdir(parents=True)
    for index in range(count):
        Image.fromarray(np.full((8, 8, 3), index, np.uint8)).save(folder / f"{index}.png")
    return folder


@pytest.fixture
def clips(tmp_path):
    frames(tmp_path / "near_miss" / "2")
    frames(tmp_path / "near_miss" / "10", 12)
    frames(tmp_path / "pass" / "a")
    return tmp_path


def test_a_folder_for_each_class(clips):
    found = read_sequences(clips)
    assert [(one.path.name, one.name) for one in found] == [("2", "near miss"), ("10", "near miss"), ("a", "pass")]
    assert given_sequences(found) == found


def test_frames_come_as_people_count(clips):
    names = [frame.relative for frame in frames_of(clips / "near_miss" / "10")]
    assert names == [str(index) for index in range(12)]
    assert [frame.read()[0, 0, 0] for frame in frames_of(clips / "near_miss" / "10", every=5)] == [0, 5, 10]


@pytest.mark.parametrize("lines", [False, True])
def test_a_list(clips, lines):
    records = [{"sequence": "near_miss/2", "name": "near"}, {"sequence": "pass/a", "name": "far"}]
    text = "\n".join(map(json.dumps, records)) if lines else json.dumps(records)
    (clips / "list.json").write_text(text, encoding="utf-8")
    assert read_sequences(clips / "list.json") == (
        SequenceExample(clips / "near_miss/2", "near"),
        SequenceExample(clips / "pass/a", "far"),
    )


def test_a_video_is_a_sequence(tmp_path):
    av = pytest.importorskip("av")
    (tmp_path / "near").mkdir()
    with av.open(str(tmp_path / "near" / "clip.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for index in range(6):
            picture = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 40 * index, np.uint8), "rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    (one,) = read_sequences(tmp_path)
    assert one.name == "near"
    assert len(frames_of(one.path)) == 6
    assert len(frames_of(one.path, every=2)) == 3


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: None, "there is no sequence in"),
        (lambda folder: (folder / "near").mkdir(), r"of a class has no sequence \(it is empty\)"),
        (lambda folder: frames(folder / "near"), r"has no sequence \(its images are single frames\)"),
    ],
)
def test_folders_without_sequences(tmp_path, make, said):
    make(tmp_path)
    with pytest.raises(UsageError, match=said):
        read_sequences(tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1]", r"record 1: expected \{\"sequence\""),
        ('[{"sequence": "pass/a"}]', "record 1: the name of a class is a text"),
        ('[{"sequence": "gone", "name": "x"}]', "gone is missing"),
        ('[{"sequence": "pass/a", "name": "x"}, {"sequence": "pass/a", "name": "y"}]', "is both 'x' and 'y'"),
        ("[", "holds no sequences"),
        ("", "there is no sequence in"),
    ],
)
def test_lists_that_cannot_be_used(clips, text, said):
    (clips / "list.json").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=said):
        read_sequences(clips / "list.json")


def test_what_is_no_sequence(tmp_path):
    with pytest.raises(UsageError, match="there are no sequences at"):
        read_sequences(tmp_path / "gone")
    with pytest.raises(UsageError, match="there is no sequence at"):
        frames_of(tmp_path / "gone")
    with pytest.raises(UsageError, match="is an empty folder"):
        frames_of(tmp_path)
    with pytest.raises(UsageError, match="expected sequences with names"):
        given_sequences([])
