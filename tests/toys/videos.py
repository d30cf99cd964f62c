"""Small videos whose frames are told by their grey value."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np


def write_video(
    path: Path,
    values: Sequence[int],
    size: tuple[int, int] = (64, 96),
    rate: int = 25,
    times: Sequence[int] | None = None,
    **options: str,
) -> Path:
    """A video with a frame of each grey value, white in its upper left corner.

    Args:
        path: its suffix chooses the container.
        values: of the frames.
        size: (height, width).
        rate: frames a second.
        times: of the frames in milliseconds; None spaces them evenly.
        options: of the container.
    """
    import av

    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("mpeg4" if path.suffix == ".avi" else "libx264", rate=rate)
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for index, value in enumerate(values):
            pixels = np.full((*size, 3), value, np.uint8)
            pixels[: size[0] // 4, : size[1] // 4] = 255
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[index], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
