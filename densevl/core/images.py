"""Reading images and resizing them.

Convention: an image is uint8 RGB (H, W, 3), rows down, columns right; as a tensor it is float in [0, 1], (3, H, W).
Resizing is bilinear with half-pixel centres, to the byte that of OpenCV and of MMCV's ``imresize``.

How other kinds of images become 8-bit RGB, whether they come from a file, from PIL or as an array:

* EXIF orientation (files and PIL images) is applied;
* transparent pixels are composited on white;
* 16-bit values keep their high byte, as in libpng, Pillow and OpenCV; they are never stretched;
* floats in [0, 1] are scaled to 0..255; a float image of any other range is an error, because nothing in it says
  which value is white;
* grey is repeated; palette, CMYK and YCbCr are converted as Pillow does, without colour profiles;
* of an animation the first frame is read.
"""

import math
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, UnidentifiedImageError

from densevl.core.errors import ImageError, shortened

if TYPE_CHECKING:
    from torch import Tensor
else:
    Tensor = Any  # torch takes seconds to import; reading files goes without it

__all__ = [
    "MAX_PIXELS",
    "as_image",
    "decode_image",
    "encoded_size",
    "is_plain",
    "is_upright",
    "load_picture",
    "normalise",
    "read_image",
    "resize_image",
    "to_bytes",
    "to_tensor",
]

MAX_PIXELS = 200_000_000
"""Larger images are refused before they are decoded, unless the caller raises the limit."""

_ROUNDING = 1e-3
"""Greatest distance of computed floats from [0, 1]."""

_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Operations that turn an image of each EXIF orientation upright."""

_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"RIFF", b"GIF8", b"II*\0", b"MM\0*", b"BM")
"""First bytes of files of the usual formats."""

_pillow_limit = threading.Lock()


def read_image(
    source: str | os.PathLike[str] | Image.Image | np.ndarray | Tensor, *, max_pixels: int | None = MAX_PIXELS
) -> UInt8[np.ndarray, "H W 3"]:
    """Read any image as 8-bit RGB; the module's text says how other kinds are converted.

    Args:
        source: a file; a PIL image; an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) in RGB order, uint8, uint16 or
            float in [0, 1]; or a tensor of the same kinds, channels first or last (three rows of three channels count
            as channels first).
        max_pixels: largest image that is decoded; None for no limit. Arrays and tensors are not limited.

    Returns:
        A new C-contiguous array.

    Raises:
        ImageError: where the file is missing, empty, damaged, too large or no image, or the values have no defined
            meaning. The message names the file, what is wrong and the cure.
    """
    if isinstance(source, str | os.PathLike):
        return _convert(load_picture(source, max_pixels), os.fspath(source))
    if isinstance(source, Image.Image):
        return _convert(_decode(source, "the PIL image", max_pixels), "the PIL image")
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(source, torch.Tensor):
        return _from_array(_channels_last(source), "the tensor")
    if isinstance(source, np.ndarray):
        return _from_array(source, "the array")
    raise ImageError(f"an image is a path, a PIL image, a NumPy array or a tensor; got {type(source).__name__}")


def as_image(
    source: str | os.PathLike[str] | Image.Image | np.ndarray | Tensor, *, max_pixels: int | None = MAX_PIXELS
) -> UInt8[np.ndarray, "H W 3"]:
    """As :func:`read_image`, but an array that is such an image already is returned as it is, and not copied."""
    if isinstance(source, np.ndarray) and source.dtype == np.uint8 and source.flags.c_contiguous and source.size:
        return source if source.shape[2:] == (3,) else read_image(source)
    return read_image(source, max_pixels=max_pixels)


def decode_image(
    data: bytes, name: str = "the image", *, max_pixels: int | None = MAX_PIXELS
) -> UInt8[np.ndarray, "H W 3"]:
    """Read any image from the bytes of a file as 8-bit RGB.

    Args:
        data: the encoded image.
        name: what messages call it.
        max_pixels: largest image that is decoded; None for no limit.

    Raises:
        ImageError: where the data are empty, damaged, too large or no image.
    """
    return _convert(_decode(_open(BytesIO(data), name), name, max_pixels), name)


def encoded_size(data: bytes, name: str = "the image") -> tuple[int, int]:
    """(height, width) of the upright image in the bytes of a file, which is not decoded.

    Raises:
        ImageError: where it is no image.
    """
    image = _open(BytesIO(data), name)
    return (image.width, image.height) if _orientation(image) >= 5 else (image.height, image.width)


def is_upright(data: bytes, name: str = "the image") -> bool:
    """True where the image in the bytes of a file is stored upright, without a rotation in its EXIF data.

    Raises:
        ImageError: where it is no image.
    """
    return _orientation(_open(BytesIO(data), name)) == 1


def is_plain(path: str | os.PathLike[str]) -> bool:
    """True where the values in a file are those of its pixels: upright, grey or RGB, nothing of it transparent.

    Raises:
        ImageError: where it is no image.
    """
    with Path(path).open("rb") as file:
        image = _open(file, Path(path))
        plain = image.mode in ("L", "RGB") or image.mode.startswith("I;16")
        return plain and _orientation(image) == 1 and not image.has_transparency_data


def load_picture(path: str | os.PathLike[str], max_pixels: int | None = MAX_PIXELS) -> Image.Image:
    """The first image of a file as Pillow decodes it: values and orientation as they are stored.

    Raises:
        ImageError: where the file is missing, empty, damaged, too large or no image.
    """
    path = Path(path)
    try:
        if not path.is_file():
            if path.is_dir():
                raise ImageError(f"{path} is a folder; name the image files in it")
            raise ImageError(f"{path}: {'not a regular file' if path.exists() else 'no such file'}; check the path")
        with path.open("rb") as file:
            return _decode(_open(file, path), str(path), max_pixels)
    except OSError as error:
        raise ImageError(f"{shortened(str(path))} cannot be read: {error.strerror or error}") from error


def _open(file: BinaryIO | BytesIO, path: Path | str) -> Image.Image:
    try:
        with _no_pillow_limit():
            return Image.open(file)
    except UnidentifiedImageError as error:
        file.seek(0)
        start = file.read(12)
        if not start:
            raise ImageError(f"{path} is empty (0 bytes); copy or download it again") from None
        if start.startswith(_SIGNATURES):
            raise _unreadable(str(path), "unknown or cut header") from error
        message = f"{path} is no image in a known format (it starts with {start!r}); convert it to PNG or JPEG"
        raise ImageError(message) from None
    except Exception as error:  # a damaged header makes Pillow's readers raise whatever they stumble over
        raise _unreadable(str(path), error) from error


def _unreadable(name: str, reason: object) -> ImageError:
    reason = str(reason) or type(reason).__name__
    return ImageError(
        f"{name} is truncated, damaged or of an unsupported kind ({reason}); "
        "copy or download it again, or convert it to PNG"
    )


@contextmanager
def _no_pillow_limit() -> Iterator[None]:
    """Pillow's own limit warns at 89 and refuses at 179 megapixels, whatever ours is."""
    with _pillow_limit:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _decode(image: Image.Image, name: str, max_pixels: int | None) -> Image.Image:
    pixels = image.width * image.height
    if max_pixels is not None and pixels > max_pixels:
        raise ImageError(
            f"{name} has {image.width} x {image.height} = {pixels / 1e6:.0f} megapixels, above the limit of "
            f"{max_pixels / 1e6:.0f}; scale it down, or raise max_pixels if you trust it"
        )
    if image.format in ("EPS", "WMF"):
        raise ImageError(f"{name} is a drawing program ({image.format}), not pixels; convert it to PNG")
    with _pillow_limit:  # not while another thread has it switched off
        large = pixels > (Image.MAX_IMAGE_PIXELS or math.inf)
    try:
        with _no_pillow_limit() if large else nullcontext():
            image.load()
    except Exception as error:  # as above
        raise _unreadable(name, error) from error
    return image


def _convert(image: Image.Image, name: str) -> np.ndarray:
    try:
        pixels = _pixels(image)
    except Exception as error:  # Pillow cannot turn some modes, such as LAB, into RGB
        raise _unreadable(name, error) from error
    return _from_array(pixels, name)


def _pixels(image: Image.Image) -> np.ndarray:
    """The values of a loaded image, upright: 8-bit RGB or RGBA, or one channel of 16 bits or float."""
    deep = image.mode == "I" and image.format in ("PNG", "PPM")  # how Pillow keeps 16 bits of these formats
    image = _upright(image)
    if deep or image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)
    if image.mode in ("I", "F"):
        return np.asarray(image)
    mode = "RGBA" if image.has_transparency_data else "RGB"
    return np.asarray(image if image.mode == mode else image.convert(mode))


def _upright(image: Image.Image) -> Image.Image:
    turn = _UPRIGHT.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def _orientation(image: Image.Image) -> int:
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged EXIF data tell no orientation; the pixels are sound
        return 1
    return orientation if orientation in _UPRIGHT else 1


def _from_array(array: np.ndarray, name: str) -> np.ndarray:
    shape = tuple(array.shape)
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or array.size == 0:
        hint = ""
        if array.ndim == 3 and array.shape[0] in (1, 3, 4):
            hint = "; move the channels last: array.transpose(1, 2, 0)"
        elif array.ndim == 4:
            hint = "; pass the images one by one or as a list"
        raise ImageError(f"{name} has shape {shape}; expected (H, W), (H, W, 1), (H, W, 3) or (H, W, 4){hint}")
    array = _eight_bit(array, name)
    if array.shape[2] == 4:
        colour, alpha = array[..., :3].astype(np.uint16), array[..., 3:].astype(np.uint16)
        array = ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return np.array(np.broadcast_to(array, (*array.shape[:2], 3)), order="C")


def _eight_bit(array: np.ndarray, name: str) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if (array.dtype.kind, array.dtype.itemsize) == ("u", 2):  # of either byte order
        return (array >> 8).astype(np.uint8)
    if not np.issubdtype(array.dtype, np.floating):
        raise ImageError(f"{name} holds {array.dtype}; expected uint8, uint16 or float in [0, 1]; convert it first")
    lowest, highest = float(array.min()), float(array.max())
    if not (lowest >= -_ROUNDING and highest <= 1 + _ROUNDING):
        raise ImageError(
            f"{name} holds floats from {lowest:.4g} to {highest:.4g}; expected [0, 1]; "
            "divide by the value that stands for white"
        )
    return np.rint(np.clip(array, 0, 1, dtype=np.float32) * 255).astype(np.uint8)


def _channels_last(tensor: Tensor) -> np.ndarray:
    tensor = tensor.detach().cpu()
    array: np.ndarray = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
    if array.ndim == 3 and (array.shape[0] == 3 or (array.shape[0] in (1, 4) and array.shape[2] not in (1, 3, 4))):
        return array.transpose(1, 2, 0)
    return array


def to_tensor(image: UInt8[np.ndarray, "H W 3"]) -> Float[Tensor, "3 H W"]:
    """The image as float32 in [0, 1], channels first, in new memory."""
    import torch

    return torch.from_numpy(image.transpose(2, 0, 1).astype(np.float32, order="C")).div_(255)


def to_bytes(image: Float[Tensor, "3 H W"] | UInt8[Tensor, "3 H W"]) -> UInt8[np.ndarray, "H W 3"]:
    """The image of a tensor, RGB in [0, 1] or bytes, as an array of bytes."""
    import torch

    values = image if image.dtype == torch.uint8 else (image * 255).round().byte()
    return np.ascontiguousarray(values.permute(1, 2, 0).cpu().numpy())


def normalise(
    images: Float[Tensor, "*b c H W"], mean: Sequence[float], std: Sequence[float]
) -> Float[Tensor, "*b c H W"]:
    """``(images - mean) / std`` in the images' own dtype.

    Args:
        images: channels third from last.
        mean: of each channel.
        std: standard deviation of each channel.
    """
    centre, scale = (_channels(images, values) for values in (mean, std))
    return (images - centre) / scale


def _channels(images: Tensor, values: Sequence[float]) -> Tensor:
    """A number for each channel, where images lie; on a GPU made there, since a copy of numbers waits for it."""
    if images.device.type == "cpu":
        return images.new_tensor(values)[:, None, None]
    import torch

    return torch.stack([images.new_full((1, 1), value) for value in values])


def resize_image(image: UInt8[np.ndarray, "_ _ *c"], size: tuple[int, int]) -> UInt8[np.ndarray, "_ _ *c"]:
    """The image at ``size`` = (height, width).

    Convention: OpenCV's bilinear, without smoothing where it shrinks, as MMCV's ``imresize`` and so the benchmarks do.
    """
    return cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
