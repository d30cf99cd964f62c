"""Labels of the frames of a video as a video: ``clip.overlay.mp4``, with the times of the source.

The labels of a frame stay until those of the next one that has some, so that the duration and the rate are those of the
source whatever frames were taken.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from densevl.api.jobs.results import VIDEO, Results
from densevl.core.drawing.overlay import draw_overlay
from densevl.core.errors import ImageError, UsageError
from densevl.core.failures import Failure, FailureList
from densevl.core.files import atomic_write
from densevl.core.inputs.videos import Video, is_video

__all__ = ["video_of", "write_videos"]

CODEC, QUALITY = "libx264", {"crf": "18"}


def video_of(place: str) -> str | None:
    """The video that has the frame at a place, None for other images."""
    folder = Path(place).parent
    return str(folder) if is_video(folder) else None


def write_videos(results: Results, changed: Iterable[str] | None = None) -> list[Failure]:
    """Write the videos of a folder from the label maps of their frames.

    Args:
        results: the folder.
        changed: places of the frames that are new; only their videos are written. None writes all.

    Returns:
        The videos that could not be written, because the source is not there or has changed; the list of failures
        of the folder has them, too.

    Raises:
        OutputError: where one cannot be written because of the disk.
    """
    if "overlay" not in results.formats:
        return []
    wanted = None if changed is None else {video_of(place) for place in changed} - {None}
    if wanted is not None and not wanted:
        return []
    found: dict[tuple[str, str], dict[int, str]] = {}
    for done in results.done():
        source = video_of(done.place)
        if source is not None and (wanted is None or source in wanted):
            frames = found.setdefault((source, done.name.rpartition("/")[0]), {})
            frames[int(Path(done.place).name)] = done.name
    failures = []
    for (source, name), frames in found.items():
        try:
            _write(Video(Path(source)), frames, results, results.out / f"{name}{VIDEO}")
        except (ImageError, UsageError, IndexError) as error:
            failures.append(Failure(f"{name}{VIDEO}", f"{name}{VIDEO} cannot be made from {source}: {error}"))
    listed, names = FailureList(results.out), {f"{name}{VIDEO}" for _, name in found}
    listed.forget(names.__contains__)
    listed.add(*failures)
    return failures


def _write(video: Video, frames: Mapping[int, str], results: Results, target: Path) -> None:
    import av

    start, ends = video.times[0], [*video.times[1:], video.end]
    lasting = {time - start: end - time for time, end in zip(video.times, ends, strict=True)}
    with atomic_write(target) as temporary, av.open(str(temporary), "w") as container:
        stream: Any = None
        for time, picture in zip(lasting, _pictures(video, frames, results, target.name), strict=True):
            if stream is None:
                stream = container.add_stream(CODEC, rate=video.rate, options=QUALITY)
                stream.height, stream.width = (
                    side + side % 2 for side in picture.shape[:2]
                )  # the codec wants them even
                stream.pix_fmt, stream.codec_context.time_base = "yuv420p", video.time_base
            frame = av.VideoFrame.from_ndarray(_fitted(picture, stream.height, stream.width), format="rgb24")
            frame.pts, frame.time_base = time, video.time_base
            for packet in stream.encode(frame):
                packet.duration = lasting.get(packet.pts, 0)
                container.mux(packet)
        for packet in stream.encode():
            packet.duration = lasting.get(packet.pts, 0)
            container.mux(packet)


def _pictures(
    video: Video, frames: Mapping[int, str], results: Results, name: str
) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """A picture for each frame of the video; the last one again where the frame has no labels."""
    picture = None
    for index in tqdm(range(len(video.times)), desc=f"writing {name}", unit="frame", delay=2, disable=None):
        if index in frames:
            image, labels = video.read(index, f"frame {index}"), results.labels(frames[index])
            picture = draw_overlay(image, labels, results.vocabulary.names, results.vocabulary.palette, legend=False)
        elif picture is None:
            picture = video.read(min(frames), f"frame {min(frames)}")
        yield picture


def _fitted(picture: UInt8[np.ndarray, "_ _ 3"], height: int, width: int) -> UInt8[np.ndarray, "h w 3"]:
    """A picture in the size of the video: with its edge repeated where it lacks a pixel, else resized."""
    down, right = height - picture.shape[0], width - picture.shape[1]
    if not (0 <= down <= 1 and 0 <= right <= 1):
        return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return np.pad(picture, ((0, down), (0, right), (0, 0)), mode="edge")
