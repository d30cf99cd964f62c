"""Lines of text as pixels, in any script that a font of this machine covers.

Pillow's own font holds the letters of English. Other names are set in the first font that has all their characters:
DejaVu Sans, which Matplotlib brings along, the fonts of the system, the one that OpenCV 5 has built in (Chinese,
Japanese, Korean). A name that no font covers is written with escapes (``\\u0939``) rather than as empty boxes.
"""

import os
import sys
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

__all__ = ["letter", "line_height"]

_MISSING = "\U0010ffff"
"""A code point that no font has: its glyph is the font's empty box."""


def line_height(size: int) -> int:
    """Pixels from one line to the next, for letters of ``size`` pixels."""
    return round(1.4 * size)


def letter(text: str, size: int, width: int) -> UInt8[np.ndarray, "h w"]:
    """One line of text as coverage in 0..255: :func:`line_height` high, at most ``width`` wide.

    Line breaks and runs of space become one space; text that is too wide is cut and ends in an ellipsis.
    """
    text = " ".join(text.split())
    font = _font(text)
    if font is None:
        text = text.encode("unicode_escape").decode()
        font = _font(text) or ""
    set_line = _set_by_opencv if font == _OPENCV else _set_by_pillow
    line = set_line(text, font, size)
    if line.shape[1] <= width:
        return line
    shortest, longest = 0, len(text)
    while longest - shortest > 1:
        middle = (shortest + longest) // 2
        if set_line(_cut(text, middle), font, size).shape[1] <= width:
            shortest = middle
        else:
            longest = middle
    return set_line(_cut(text, shortest), font, size)[:, :width]


def _cut(text: str, length: int) -> str:
    return text[:length].rstrip() + "…"


_DEFAULT, _OPENCV = "", "opencv"


@lru_cache(maxsize=4096)
def _font(text: str) -> str | None:
    """The first font that has every character: a file, Pillow's own or OpenCV's; None where there is none."""
    characters = {character for character in text if not character.isspace()}
    if not all(character.isprintable() for character in characters):
        return None
    for font in (_DEFAULT, *_files()):
        if _covers(font, characters):
            return font
    return _OPENCV if _opencv_covers(characters) else None


def _covers(font: str, characters: set[str]) -> bool:
    try:
        face = _load(font, 16)
        missing = _glyph(face, _MISSING)
        return all(_glyph(face, character) != missing for character in characters)
    except (OSError, ValueError):  # a damaged file, or one of bitmaps of another size
        return False


def _glyph(face: ImageFont.FreeTypeFont, character: str) -> tuple[tuple[int, int], bytes]:
    mask = face.getmask(character)
    return mask.size, bytes(mask)


@lru_cache(maxsize=64)
def _load(font: str, size: int) -> ImageFont.FreeTypeFont:
    if font == _DEFAULT:
        return cast("ImageFont.FreeTypeFont", ImageFont.load_default(size))
    return ImageFont.truetype(font, size)


@lru_cache(maxsize=1)
def _files() -> tuple[str, ...]:
    """Upright fonts of regular weight: that of Matplotlib, then those of the system, sans serif ones first."""
    matplotlib = find_spec("matplotlib")
    bundled = []
    if matplotlib is not None and matplotlib.origin is not None:
        bundled = [str(Path(matplotlib.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf")]
    return (*bundled, *sorted(_system_fonts(), key=lambda font: ("sans" not in font.lower(), font)))


def _system_fonts() -> Iterator[str]:
    home = Path.home()
    folders = {
        "darwin": ("/System/Library/Fonts", "/Library/Fonts", home / "Library/Fonts"),
        "win32": (
            Path(os.environ.get("WINDIR", "C:/Windows")) / "Fonts",
            home / "AppData/Local/Microsoft/Windows/Fonts",
        ),
    }.get(sys.platform, ("/usr/share/fonts", "/usr/local/share/fonts", home / ".local/share/fonts", home / ".fonts"))
    for folder in folders:
        for place, _, names in os.walk(folder):
            for name in names:
                plain = not any(
                    word in name.lower() for word in ("bold", "italic", "oblique", "light", "thin", "black")
                )
                if plain and name.lower().endswith((".ttf", ".ttc", ".otf")):
                    yield os.path.join(place, name)


def _set_by_pillow(text: str, font: str, size: int) -> UInt8[np.ndarray, "h w"]:
    face = _load(font, size)
    width = max(1, round(face.getlength(text)))
    image = Image.new("L", (width, line_height(size)))
    ImageDraw.Draw(image).text((0, _baseline(size)), text, fill=255, font=face, anchor="ls")
    return np.array(image)


def _set_by_opencv(text: str, font: str, size: int) -> UInt8[np.ndarray, "h w"]:
    face = cv2.FontFace("uni")
    canvas = np.zeros((line_height(size), 2 * size * len(text) + size), np.uint8)
    (end, _), _ = cv2.putText(canvas, text, (0, _baseline(size)), (255,), face, size)
    return canvas[:, : max(1, end)]


def _opencv_covers(characters: set[str]) -> bool:
    if not hasattr(cv2, "FontFace"):  # before OpenCV 5
        return False
    unknown = _set_by_opencv(_MISSING, _OPENCV, 16).tobytes()
    return all(_set_by_opencv(character, _OPENCV, 16).tobytes() != unknown for character in characters - {"?"})


def _baseline(size: int) -> int:
    return round(1.05 * size)
