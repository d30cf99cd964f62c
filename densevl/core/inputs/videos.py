"""Frames of videos, decoded one by one through PyAV.

The frames are listed by their packets, which takes no decoding, and are told by their times, so that a frame that
cannot be decoded shifts no other. Frames are turned upright as the file says.
"""

import math
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from densevl.core.errors import ImageError, UsageError
from densevl.core.files import file_state
from densevl.core.inputs.contracts import BrokenInput

__all__ = ["Video", "VideoFrame", "is_video"]

SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv")
DIGITS = 6
SEEK = 100
"""Frames ahead that are rather sought than decoded on the way."""

_AVI_HEAD = 8
"""Bytes of an AVI file between the place that its index tells and the data there."""


def is_video(path: str | os.PathLike[str]) -> bool:
    """True where the name is that of a video."""
    return os.fspath(path).lower().endswith(SUFFIXES)


@dataclass(frozen=True)
class VideoFrame:
    """A frame of a video.

    Attributes:
        video: that has it.
        index: from 0.
        relative: the name of its results.
    """

    video: "Video"
    index: int
    relative: str = ""

    @property
    def name(self) -> str:
        """The video as given, and the number of the frame."""
        return f"{self.video.path}/{self.index:0{DIGITS}}"

    @property
    def place(self) -> str:
        """The video from the root, and the number of the frame."""
        return f"{os.path.abspath(self.video.path)}/{self.index:0{DIGITS}}"

    def state(self) -> tuple[int, ...]:
        """State of the video, and the number of the frame."""
        state = file_state(self.video.path)
        return (*state, self.index) if state else ()

    def read(self) -> UInt8[np.ndarray, "H W 3"]:
        """The frame, upright.

        Raises:
            ImageError: where it cannot be decoded.
        """
        return self.video.read(self.index, self.name)


@dataclass(frozen=True)
class Video:
    """A video in a file; reading its frames in their order decodes each once and holds one.

    In another process its frames share one again, so that each process lists its frames once.

    Attributes:
        path: the file, as given.
    """

    path: Path
    _state: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    _lock: Any = field(default_factory=threading.Lock, repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return _shared, (self.path, file_state(self.path))

    def frames(self, every: int = 1) -> list[tuple[VideoFrame | BrokenInput, str]]:
        """The frames in their order, each with its name in the video; the last one says what is missing.

        Args:
            every: step between the frames that are taken.

        Raises:
            UsageError: where PyAV is not installed.
        """
        try:
            count, missing = len(self.times), self._listed.missing
        except ImageError as error:
            count, missing = 0, str(error)
        found: list[tuple[VideoFrame | BrokenInput, str]] = [
            (VideoFrame(self, index), f"{index:0{DIGITS}}") for index in range(0, count, every)
        ]
        if missing:
            reason = f"the video {self.path}: {missing}; copy it again"
            found.append((BrokenInput(str(self.path), os.path.abspath(self.path), reason), "missing"))
        return found

    @property
    def times(self) -> tuple[int, ...]:
        """Time of each frame, ascending, in units of :attr:`time_base`.

        Raises:
            ImageError: where the file is no video that can be read.
            UsageError: where PyAV is not installed.
        """
        return self._listed.times

    @property
    def end(self) -> int:
        """Time at which the last frame ends."""
        return self._listed.end

    @property
    def time_base(self) -> Fraction:
        """Seconds of a unit of time."""
        return self._listed.base

    @property
    def rate(self) -> Fraction:
        """Mean number of frames a second."""
        return self._listed.rate

    @cached_property
    def _listed(self) -> "_Listed":
        av = _av()
        try:
            with av.open(str(self.path)) as container:
                if not container.streams.video:
                    raise ImageError("it has no pictures")
                return _list_frames(container)
        except (av.FFmpegError, OSError) as error:
            raise ImageError(f"it cannot be read: {getattr(error, 'strerror', None) or error}") from error

    def read(self, index: int, name: str) -> UInt8[np.ndarray, "H W 3"]:
        """A frame, upright.

        Args:
            index: of the frame, from 0.
            name: what messages call it.

        Raises:
            ImageError: where it cannot be decoded.
        """
        wanted = self.times[index]
        with self._lock:
            if "time" not in self._state or not 0 <= index - self._state["index"] <= SEEK:
                self._state.update(decoder=self._decoded(wanted), time=-math.inf)
            try:
                while self._state["time"] < wanted:
                    frame, time = next(self._state["decoder"])
                    self._state.update(frame=frame, time=time, index=index)
            except (_av().FFmpegError, StopIteration) as error:
                self._state.clear()
                said = getattr(error, "strerror", None) or "the video ends before it"
                raise ImageError(f"{name} cannot be decoded: {said}; copy the video again") from error
            frame = self._state["frame"]
            if self._state["time"] > wanted or frame.is_corrupt:
                raise ImageError(f"{name} cannot be decoded: its data are damaged; copy the video again")
            return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90)))

    def _decoded(self, wanted: int) -> Iterator[tuple[Any, int]]:
        """Frames and their times, from one before a time on."""
        av = _av()
        for sought in (True, False) if self._listed.timed and wanted > self.times[0] else (False,):
            with av.open(str(self.path)) as container:
                stream = container.streams.video[0]
                stream.thread_type = "AUTO"
                stream.codec_context.options = {"err_detect": "explode"}  # damage is an error, and never made up for
                if sought:
                    container.seek(wanted, stream=stream)
                packets = _placed(container.demux(stream), self._listed.places)
                frames = (frame for packet in packets for frame in packet.decode())
                for count, frame in enumerate(frames):
                    time = frame.pts if self._listed.timed else count
                    if sought and time > wanted and not count:
                        break  # the file's table of places is wrong; its beginning is not
                    yield frame, time
                else:
                    return


@lru_cache(maxsize=8)
def _shared(path: Path, state: tuple[int, ...]) -> Video:
    """The video that frames share which come to this process one after the other."""
    return Video(path)


class _Listed(NamedTuple):
    """What the packets of a video tell.

    Attributes:
        times: of the frames, ascending.
        end: of the last frame.
        base: seconds of a unit of time.
        rate: mean number of frames a second.
        timed: whether the file has times; else frames follow each other evenly.
        missing: what is missing, in words; empty where nothing is.
        places: what an index tells of places in the file, where packets are lost; see :func:`_places`.
    """

    times: tuple[int, ...]
    end: int
    base: Fraction
    rate: Fraction
    timed: bool
    missing: str
    places: dict[int, int]


def _list_frames(container: Any) -> _Listed:
    stream = container.streams.video[0]
    rate = Fraction(stream.average_rate or stream.base_rate or 25)
    frames, ends, seen = [], [0.0], set()
    places = _places(container, stream)
    with suppress(_av().FFmpegError):  # what came before is sound, and what is missing is said
        for packet in _placed(container.demux(), places):
            if packet.pts is not None and packet.time_base is not None:
                ends.append(float((packet.pts + (packet.duration or 0)) * packet.time_base))
            if packet.stream is stream and packet.size and not packet.is_discard and not packet.is_corrupt:
                frames.append((packet.pts, packet.duration or 0))
                seen.add(packet.dts)
    lost = sorted(set(places.values()) - seen)
    if lost and any(time is None for time, _ in frames):
        raise ImageError(f"{len(lost)} of its frames are lost inside of it, and nothing tells which; copy it again")
    frames += [(time, 0) for time in lost]  # each fails by itself
    missing = ""
    if len(frames) < stream.frames:
        missing = f"it is cut short: it says that it has {stream.frames} frames, and has {len(frames)}"
    elif "matroska" in container.format.name and container.duration:
        says, has = container.duration / 1e6, max(ends)
        if has < says - max(1.0, 0.02 * says):
            missing = f"it is cut short: it says that it has {says:.1f} seconds, and has {has:.1f}"
    if not frames:
        missing = missing or "it has no frame"
    timed = all(time is not None for time, _ in frames)
    if not timed:  # some files, such as of AVI, have no times
        return _Listed(tuple(range(len(frames))), len(frames), 1 / rate, rate, False, missing, {})
    base = Fraction(stream.time_base or 1 / rate)
    lasting = dict(sorted(frames))
    times = tuple(lasting)
    end = times[-1] + (lasting[times[-1]] or round(1 / (rate * base))) if times else 0
    return _Listed(times, end, base, rate, True, missing, places if lost else {})


def _places(container: Any, stream: Any) -> dict[int, int]:
    """The time of each frame by the place of its packet in the file, as the index of an AVI file tells it.

    Its packets have no times, and FFmpeg counts them: behind one that is lost, frames would be taken for others.
    """
    if container.format.name != "avi":
        return {}
    entries = getattr(stream, "index_entries", ())
    return {entry.pos + _AVI_HEAD: entry.timestamp for entry in entries if entry.size}


def _placed(packets: Iterable[Any], places: dict[int, int]) -> Iterator[Any]:
    """Packets with the times that an index tells."""
    for packet in packets:
        time = places.get(packet.pos) if packet.pos is not None else None
        if time is not None and packet.dts is not None and time != packet.dts:
            packet.pts = None if packet.pts is None else time
            packet.dts = time
        yield packet


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise UsageError("videos are read by PyAV, which is not installed: pip install 'densevl[video]'") from error
    return av
