"""Inputs that are sent to another process and read there."""

import io
import multiprocessing
import os
import pickle
import sys
import tarfile
from concurrent.futures import ProcessPoolExecutor

import pytest
from core.inputs.grey import add, png
from toys.videos import write_video

from densevl.core.errors import DensevlError
from densevl.core.inputs import BrokenInput, find_inputs, open_input


def seen(item):
    """The process, the place, the name of results, the state, and the grey value or the error."""
    try:
        value = int(item.read()[-1, -1, 0])
    except DensevlError as error:
        value = str(error)
    return os.getpid(), item.place, item.relative, item.state(), value


@pytest.fixture
def everything(tmp_path, monkeypatch):
    """An input of every kind that needs no network."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.png").write_bytes(png(1))
    for name, mode in (("b.tar", "w"), ("c.tar.gz", "w:gz")):
        with tarfile.open(name, mode) as archive:
            for value in (2, 3, 4):
                add(archive, f"{value}.png", png(value))
    (tmp_path / "list.txt").write_text("none.png\n")
    arguments = ["a.png", "b.tar", "c.tar.gz", "@list.txt"]
    try:
        import av  # noqa: F401
    except ImportError:
        pass
    else:
        arguments.append(str(write_video(tmp_path / "clip.mp4", range(0, 100, 20))))
    found = find_inputs(arguments)
    assert isinstance(found[7], BrokenInput)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(png(9))))
    return [*found, open_input("-")]


def test_inputs_are_read_in_another_process_as_they_are_here(everything):
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        there = [one for start in range(0, len(everything), 3) for one in pool.map(seen, everything[start : start + 3])]
    here = [seen(item) for item in everything]
    assert [one[1:] for one in there] == [one[1:] for one in here]
    assert {one[0] for one in there} != {here[0][0]}


def test_images_of_an_archive_share_it_again(everything):
    first, second = (pickle.loads(pickle.dumps(item)) for item in everything[4:6])
    assert first.archive is second.archive
    assert first == everything[4]


def test_standard_input_is_sent_with_its_bytes(everything, monkeypatch):
    again = pickle.loads(pickle.dumps(everything[-1]))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert (again.read() == 9).all()
    assert (everything[-1].read() == 9).all(), "the bytes were kept here, too"
