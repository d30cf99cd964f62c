"""Frames of videos."""

import sys
from pathlib import Path

import numpy as np
import pytest

from densevl.core.errors import ImageError, UsageError
from densevl.core.inputs import BrokenInput, find_inputs, open_input
from densevl.core.inputs.videos import Video

pytest.importorskip("av")
from toys.videos import write_video

VALUES = range(0, 240, 4)


def grey(image):
    return int(image[-1, -1, 0])


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "mov"])
def test_frames_are_read_in_any_order(tmp_path, suffix):
    path = write_video(tmp_path / f"clip.{suffix}", VALUES)
    found = find_inputs([path])
    assert [item.relative for item in found] == [f"clip/{index:06}" for index in range(60)]
    assert found[3].place == f"{path}/000003"
    for index in (0, 1, 2, 50, 51, 3, 3, 4, 59, 0):
        image = found[index].read()
        assert image.shape == (64, 96, 3)
        assert abs(grey(image) - VALUES[index]) <= 4, index
        assert image[0, 0, 0] > 240
    again = open_input(found[7].place)
    assert again.state() == found[7].state()
    assert np.array_equal(again.read(), found[7].read())


def test_frames_far_ahead_are_sought(tmp_path):
    path = write_video(tmp_path / "clip.mp4", [i % 50 * 5 for i in range(300)], size=(16, 16))
    video = Video(path)
    assert [abs(grey(video.read(index, "frame")) - index % 50 * 5) <= 4 for index in (0, 299, 150, 10, 280)] == [
        True
    ] * 5


def test_some_of_the_frames(tmp_path):
    path = write_video(tmp_path / "clip.mp4", VALUES[:10])
    found = find_inputs([path], every=4)
    assert [item.relative for item in found] == ["clip/000000", "clip/000004", "clip/000008"]
    assert [abs(grey(item.read()) - value) <= 4 for item, value in zip(found, (0, 16, 32), strict=True)] == [True] * 3


def test_times_that_vary(tmp_path):
    times = [0, 40, 50, 200, 240, 700]
    video = Video(write_video(tmp_path / "clip.mp4", VALUES[:6], times=times))
    assert [round(float(time * video.time_base) * 1000) for time in video.times] == times
    assert [abs(grey(video.read(index, "frame")) - 4 * index) <= 4 for index in range(6)] == [True] * 6


@pytest.mark.parametrize(("turn", "shape"), [(90, (96, 64)), (180, (64, 96)), (270, (96, 64))])
def test_frames_are_turned_upright(tmp_path, turn, shape):
    path = write_video(tmp_path / "clip.mp4", [100] * 3)
    content = path.read_bytes()  # the matrix in the track's header says how a player turns the pictures
    start = content.index(b"tkhd") + 4 + 40
    one, matrices = 0x10000, {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}
    a, b, c, d = (int(value * one).to_bytes(4, "big", signed=True) for value in matrices[turn])
    zero = bytes(4)
    matrix = a + b + zero + c + d + zero
    path.write_bytes(content[:start] + matrix + content[start + len(matrix) :])
    image = Video(path).read(0, "frame")
    assert image.shape == (*shape, 3)
    corner = {90: (0, -1), 180: (-1, -1), 270: (-1, 0)}[turn]  # clockwise, where the upper left corner goes
    assert image[corner][0] > 240
    assert image[0, 0, 0] < 120


@pytest.mark.parametrize(("suffix", "part"), [("mp4", 0.9), ("mkv", 0.6), ("avi", 0.6)])
def test_a_video_that_is_cut_short_gives_what_it_has_and_says_so(tmp_path, suffix, part):
    path = write_video(tmp_path / f"clip.{suffix}", VALUES, **({"movflags": "faststart"} if suffix == "mp4" else {}))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    *frames, last = find_inputs([path])
    assert 5 < len(frames) < 50
    assert abs(grey(frames[4].read()) - 16) <= 4
    assert isinstance(last, BrokenInput)
    with pytest.raises(
        ImageError, match=r"the video .*clip.* is cut short: it says that it has (60 frames|2.4 seconds)"
    ):
        last.read()


@pytest.mark.parametrize("content", [b"", b"no video" * 100, None])
def test_what_is_no_video_fails_as_an_image_does(tmp_path, content):
    path = write_video(tmp_path / "clip.mp4", VALUES)
    path.write_bytes(path.read_bytes()[:2000] if content is None else content)
    [item] = find_inputs([path])
    with pytest.raises(ImageError, match=r"the video .*clip\.mp4: it (cannot be read|has no pictures)"):
        item.read()


@pytest.mark.parametrize("frame", [2, 30], ids=["early", "late"])
@pytest.mark.parametrize("bytes_lost", [60, 300], ids=["a frame", "frames"])
def test_damage_inside_shifts_no_frame(frame, bytes_lost, tmp_path):
    path = write_video(tmp_path / "clip.avi", VALUES)
    content = bytearray(path.read_bytes())
    start = -1
    for _ in range(frame + 1):
        start = content.index(b"00dc", start + 1)  # the head of a frame, which FFmpeg then does not count
    content[start : start + bytes_lost] = bytes(bytes_lost)
    path.write_bytes(content)
    sound, items = [], find_inputs([path])
    for index, item in enumerate(items):
        try:
            value = grey(item.read())
        except ImageError:
            continue
        sound.append(index)
        assert abs(value - VALUES[index]) <= 4
    assert len(items) == 60
    assert 20 < len(sound) < 60
    assert max(sound) == 59


def test_without_pyav_the_cure_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    Path(tmp_path / "clip.mp4").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"pip install 'densevl\[video\]'"):
        find_inputs([tmp_path / "clip.mp4"])
