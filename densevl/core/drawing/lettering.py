"""Lines of text as pixels, in any script that a font of this machine covers.

Pillow's own font holds the letters of English. Other names are set in the first font that has all their characters:
DejaVu Sans, which Matplotlib brings along, the fonts of the system that Matplotlib finds, the one that OpenCV 5 has
built in (Chinese, Japanese, Korean). A name that no font covers is written with escapes (``\\u0939``) rather than as
empty boxes.
"""

from bisect import bisect_right
from functools import lru_cache
from typing import cast

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from densevl.core.oklab import oklab

__all__ = [
    "FAINT",
    "INK",
    "PAPER",
    "ink_on",
    "letter",
    "line_height",
    "printed",
    "sheet",
    "wrap",
    "write",
    "write_rimmed",
]

INK, FAINT, PAPER = (32, 33, 36), (112, 117, 122), (255, 255, 255)
"""Colours of letters, of fainter ones, and of what they stand on."""

LIGHT = 0.7
"""Lightness in Oklab from which on letters on a colour are dark."""

_MISSING = "\U0010ffff"
"""A code point that no font has: its glyph is the font's empty box."""

_DEFAULT, _OPENCV = "", "opencv"
"""The fonts that are no files."""


def ink_on(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    """The colour of letters, dark or white, that is read on a colour."""
    return INK if oklab(np.array([colour]))[0, 0] > LIGHT else PAPER


def line_height(size: int) -> int:
    """Pixels from one line to the next, for letters of ``size`` pixels."""
    return round(1.4 * size)


def letter(text: str, size: int, width: int) -> UInt8[np.ndarray, "h w"]:
    """One line of text as coverage in 0..255: :func:`line_height` high, at most ``width`` wide.

    Line breaks and runs of space become one space; text that is too wide is cut and ends in an ellipsis. The last lines
    are remembered, since the pictures of a job have the same names: what comes back cannot be written to.
    """
    return _line(" ".join(text.split()), size, width)


@lru_cache(maxsize=1024)
def _line(text: str, size: int, width: int) -> UInt8[np.ndarray, "h w"]:
    line = _fitted(text, size, width)
    line.flags.writeable = False
    return line


def _fitted(text: str, size: int, width: int) -> UInt8[np.ndarray, "h w"]:
    font = _font(text)
    if font is None:
        text = text.encode("unicode_escape").decode()
        font = _font(text) or _DEFAULT
    line = _set(text, font, size)
    if line.shape[1] <= width:
        return line
    lengths = range(1, len(text))
    fitting = bisect_right(lengths, width, key=lambda length: _set(_cut(text, length), font, size).shape[1])
    return _set(_cut(text, fitting), font, size)[:, :width]


def sheet(height: int, width: int) -> UInt8[np.ndarray, "h w 3"]:
    """Paper."""
    return np.full((height, width, 3), PAPER[0], np.uint8)  # one value a byte, which is quicker than a colour


def write(
    paper: UInt8[np.ndarray, "H W 3"],
    coverage: UInt8[np.ndarray, "h w"],
    y: int,
    x: int,
    ink: tuple[int, int, int] = INK,
) -> None:
    """Put a line of :func:`letter` on paper.

    Args:
        paper: RGB, changed in place; what reaches beyond its edges is cut off.
        coverage: of the line.
        y: row of the line's upper edge.
        x: column of its left edge.
        ink: RGB colour of the letters.
    """
    place = paper[y : y + coverage.shape[0], x : x + coverage.shape[1]]
    amount = coverage[: place.shape[0], : place.shape[1], None].astype(np.uint16)
    place[:] = (place * (255 - amount) + np.array(ink, np.uint16) * amount + 127) // 255  # never half way


@lru_cache(maxsize=1024)
def printed(text: str, size: int, width: int, ink: tuple[int, int, int] = INK) -> UInt8[np.ndarray, "h w 3"]:
    """A line of :func:`letter` on paper, which is remembered and cannot be written to."""
    coverage = letter(text, size, width)
    line = sheet(*coverage.shape)
    write(line, coverage, 0, 0, ink)
    line.flags.writeable = False
    return line


def write_rimmed(paper: UInt8[np.ndarray, "H W 3"], text: str, size: int, width: int, y: int, x: int) -> None:
    """Put a line of text on an image: white with a dark rim, so that it is read on any ground.

    Args:
        paper: RGB, changed in place; what reaches beyond its lower and right edges is cut off.
        text: the line, as :func:`letter` takes it.
        size: height of the letters in pixels.
        width: most that the line may take.
        y: row of the line's upper edge.
        x: column of its left edge.
    """
    rim, rim_width = _rim(" ".join(text.split()), size, width)
    above, before = min(rim_width, y), min(rim_width, x)
    write(paper, rim[rim_width - above :, rim_width - before :], y - above, x - before, INK)
    write(paper, letter(text, size, width), y, x, PAPER)


@lru_cache(maxsize=256)
def _rim(text: str, size: int, width: int) -> tuple[UInt8[np.ndarray, "h w"], int]:
    """The coverage of the rim of a line, and how far it reaches beyond the line on each side."""
    coverage = _line(text, size, width)
    reach = max(1, round(coverage.shape[0] / 13))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1,) * 2)
    return cv2.GaussianBlur(cv2.dilate(np.pad(coverage, reach), kernel), (3, 3), 0), reach


def wrap(text: str, size: int, width: int, most: int) -> list[UInt8[np.ndarray, "h w"]]:
    """Text as lines of :func:`letter`, broken between words; none where it is blank.

    Args:
        text: any; what does not fit the last line is cut and ends in an ellipsis.
        size: height of the letters in pixels.
        width: of the widest line in pixels.
        most: lines.
    """
    lines, words = list[UInt8[np.ndarray, "h w"]](), text.split()
    while words:
        fits = range(2, len(words) + 1)
        taken = bisect_right(fits, width, key=lambda n: letter(" ".join(words[:n]), size, 2 * width).shape[1]) + 1
        taken = len(words) if len(lines) == most - 1 else taken
        lines.append(letter(" ".join(words[:taken]), size, width))
        words = words[taken:]
    return lines


def _cut(text: str, length: int) -> str:
    return text[:length].rstrip() + "…"


@lru_cache(maxsize=4096)
def _font(text: str) -> str | None:
    """The first font that has every character: a file, Pillow's own or OpenCV's; None where there is none."""
    characters = {character for character in text if not character.isspace()}
    if not all(character.isprintable() for character in characters):
        return None
    if _covers(_DEFAULT, characters):
        return _DEFAULT
    fonts = (*_files(), *([_OPENCV] if hasattr(cv2, "FontFace") else ()))  # FontFace: from OpenCV 5 on
    return next((font for font in fonts if _covers(font, characters)), None)


def _covers(font: str, characters: set[str]) -> bool:
    try:
        missing = _glyph(font, _MISSING)
        return all(_glyph(font, character) != missing for character in characters - {"?"})  # "?" is OpenCV's empty box
    except (OSError, ValueError):  # a damaged file, or one of bitmaps of another size
        return False


def _glyph(font: str, character: str) -> tuple[tuple[int, ...], bytes]:
    """Size and pixels of a character, cut to its ink."""
    if font == _OPENCV:
        line = _set(character, font, 16)
        return line.shape, line.tobytes()
    mask = _load(font, 16).getmask(character)
    return mask.size, bytes(mask)


@lru_cache(maxsize=64)
def _load(font: str, size: int) -> ImageFont.FreeTypeFont:
    if font == _DEFAULT:
        return cast("ImageFont.FreeTypeFont", ImageFont.load_default(size))
    return ImageFont.truetype(font, size)


@lru_cache(maxsize=1)
def _files() -> tuple[str, ...]:
    """Upright fonts of regular weight: DejaVu Sans, then others, sans serif ones first."""
    from matplotlib.font_manager import fontManager

    fonts = {
        font.fname
        for font in fontManager.ttflist
        if font.style == "normal" and font.weight == 400 and "Last Resort" not in font.name  # which is empty boxes
    }
    return tuple(sorted(fonts, key=lambda font: ("DejaVuSans." not in font, "sans" not in font.lower(), font)))


def _set(text: str, font: str, size: int) -> UInt8[np.ndarray, "h w"]:
    """A line of text in a font, as wide as it comes out."""
    baseline, height = round(1.05 * size), line_height(size)
    if font == _OPENCV:
        canvas = np.zeros((height, 2 * size * len(text) + size), np.uint8)
        (end, _), _ = cv2.putText(canvas, text, (0, baseline), (255,), cv2.FontFace("uni"), size)
        return canvas[:, : max(1, end)]
    face = _load(font, size)
    image = Image.new("L", (max(1, round(face.getlength(text))), height))
    ImageDraw.Draw(image).text((0, baseline), text, fill=255, font=face, anchor="ls")
    return np.array(image)
