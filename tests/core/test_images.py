import struct
import subprocess
import sys
import time
import warnings
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from densevl.core.errors import ImageError
from densevl.core.geometry import resized_size
from densevl.core.images import as_image, normalise, read_image, resize_image, to_tensor

PHOTO = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (24, 36, 3), dtype=np.uint8), (5, 5), 0)


def save(path: Path, image: np.ndarray | Image.Image, **options: Any) -> Path:
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(path, **options)
    return path


def grey(value: int, shape: tuple[int, int] = (2, 3)) -> np.ndarray:
    return np.full((*shape, 3), value, np.uint8)


# Files that are right.


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".ppm", ".tga"])
def test_lossless_files_come_back_to_the_byte(tmp_path: Path, suffix: str) -> None:
    image = read_image(save(tmp_path / f"photo{suffix}", PHOTO))
    np.testing.assert_array_equal(image, PHOTO)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert image.flags.writeable


def test_a_jpeg_is_decoded_as_opencv_does(tmp_path: Path) -> None:
    path = save(tmp_path / "photo.jpg", PHOTO, quality=90)
    np.testing.assert_array_equal(read_image(path), cv2.imread(str(path))[..., ::-1])
    np.testing.assert_array_equal(read_image(str(path)), read_image(path))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_exif_orientation(tmp_path: Path, orientation: int, suffix: str) -> None:
    # EXIF 2.3, tag 274: which side of the upright picture the first row and the first column of the stored one are.
    stored_from_upright = {
        1: lambda a: a,  # top, left
        2: lambda a: a[:, ::-1],  # top, right
        3: lambda a: a[::-1, ::-1],  # bottom, right
        4: lambda a: a[::-1],  # bottom, left
        5: lambda a: a.swapaxes(0, 1),  # left, top
        6: lambda a: a[:, ::-1].swapaxes(0, 1),  # right, top
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),  # right, bottom
        8: lambda a: a[::-1].swapaxes(0, 1),  # left, bottom
    }
    upright = np.kron(PHOTO[::6, ::6], np.ones((16, 16, 1), np.uint8))  # blocks: JPEG keeps them nearly as they are
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {".jpg": {"quality": 100, "subsampling": 0}, ".webp": {"lossless": True}}.get(suffix, {})
    stored = np.ascontiguousarray(stored_from_upright[orientation](upright))
    path = save(tmp_path / f"turned{suffix}", stored, exif=exif, **options)
    for source in (path, Image.open(path)):
        image = read_image(source)
        assert image.shape == upright.shape
        assert np.abs(image.astype(int) - upright).max() <= 2


def test_damaged_exif_does_not_matter(tmp_path: Path) -> None:
    path = save(tmp_path / "photo.jpg", PHOTO, exif=b"Exif\0\0II*\0\xff\xff\xff\xff\x12\x01")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert read_image(path).shape == PHOTO.shape


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_grey_keeps_the_high_byte(tmp_path: Path, suffix: str) -> None:
    values = np.array([[0, 255, 256], [32768, 65279, 65535]], np.uint16)
    image = read_image(save(tmp_path / f"deep{suffix}", values))
    np.testing.assert_array_equal(image[..., 0], [[0, 0, 1], [128, 254, 255]])
    np.testing.assert_array_equal(image, read_image(values))


def test_16_bit_colour_keeps_the_high_byte(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (5, 7, 3)).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "deep.png"), values[..., ::-1])
    np.testing.assert_array_equal(read_image(tmp_path / "deep.png"), values >> 8)
    np.testing.assert_array_equal(read_image(values), values >> 8)


def test_16_bit_big_endian_and_pgm(tmp_path: Path) -> None:
    values = np.array([[0, 256, 65535]], ">u2")
    np.testing.assert_array_equal(read_image(values)[0, :, 0], [0, 1, 255])
    (tmp_path / "deep.pgm").write_bytes(b"P5 3 1 65535\n" + values.tobytes())
    np.testing.assert_array_equal(read_image(tmp_path / "deep.pgm")[0, :, 0], [0, 1, 255])


def test_grey_and_bilevel(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_image(save(tmp_path / "grey.png", PHOTO[..., 0])), PHOTO[..., [0, 0, 0]])
    black_and_white = read_image(save(tmp_path / "bits.png", Image.fromarray(PHOTO[..., 0] > 128)))
    np.testing.assert_array_equal(black_and_white[..., 2], (PHOTO[..., 0] > 128) * 255)


def test_palette(tmp_path: Path) -> None:
    picture = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8)).convert("P")
    picture.putpalette([10, 20, 30, 200, 100, 0, 255, 255, 255])
    image = read_image(save(tmp_path / "palette.png", picture))
    np.testing.assert_array_equal(image, [[[10, 20, 30], [200, 100, 0]], [[255, 255, 255], [200, 100, 0]]])


def test_alpha_is_composited_on_white(tmp_path: Path) -> None:
    rgba = np.dstack([grey(100), np.array([[0, 255, 128], [1, 254, 64]], np.uint8)])
    exact = 100 * (rgba[..., 3] / 255) + 255 * (1 - rgba[..., 3] / 255)
    for source in (save(tmp_path / "alpha.png", rgba), Image.fromarray(rgba), rgba, torch.from_numpy(rgba)):
        np.testing.assert_array_equal(read_image(source)[..., 1], np.rint(exact))


def test_transparency_of_every_kind(tmp_path: Path) -> None:
    # grey with alpha; a transparent palette entry; one transparent grey; one transparent colour
    grey_alpha = Image.fromarray(np.dstack([grey(9)[..., 0], np.zeros((2, 3), np.uint8)]), "LA")
    assert (read_image(save(tmp_path / "la.png", grey_alpha)) == 255).all()
    for mode in ("P", "L", "1"):
        path = save(tmp_path / f"{mode}.png", Image.new(mode, (3, 2), 0), transparency=0)
        assert (read_image(path) == 255).all(), mode
    path = save(tmp_path / "rgb.png", grey(9), transparency=(9, 9, 9))
    assert (read_image(path) == 255).all()


def test_cmyk(tmp_path: Path) -> None:
    ink = np.zeros((16, 16, 4), np.uint8)
    ink[:8, :, 0] = 255  # cyan above; paper below
    for name in ("ink.jpg", "ink.tif"):
        picture = Image.frombytes("CMYK", (16, 16), ink.tobytes())
        image = read_image(save(tmp_path / name, picture)).astype(int)
        assert np.abs(image[:6] - (0, 255, 255)).max() < 12
        assert np.abs(image[10:] - 255).max() < 12


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp", ".tif"])
def test_the_first_frame_of_an_animation(tmp_path: Path, suffix: str) -> None:
    frames = [Image.fromarray(grey(value)) for value in (0, 255, 128)]
    path = save(tmp_path / f"film{suffix}", frames[0], save_all=True, append_images=frames[1:])
    assert read_image(path).max() < 5


def test_float_tiff_in_the_unit_range(tmp_path: Path) -> None:
    values = np.array([[0, 0.5, 1.0]], np.float32)
    np.testing.assert_array_equal(read_image(save(tmp_path / "float.tif", values))[0, :, 0], [0, 128, 255])


@pytest.mark.parametrize("shape", [(1, 1), (3, 4000), (4000, 3)])
def test_extreme_shapes(tmp_path: Path, shape: tuple[int, int]) -> None:
    for suffix in (".png", ".jpg"):
        assert read_image(save(tmp_path / f"thin{suffix}", grey(7, shape))).shape == (*shape, 3)


def test_a_wrong_suffix_does_not_matter(tmp_path: Path) -> None:
    path = save(tmp_path / "really.png", PHOTO, format="JPEG")
    path.rename(tmp_path / "scan")
    assert read_image(tmp_path / "scan").shape == PHOTO.shape


# Files that are wrong.


def test_truncated_jpeg(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    whole = save(tmp_path / "whole.jpg", noise).read_bytes()
    for length in (20, 200, len(whole) // 2, len(whole) - 200):
        (tmp_path / "cut.jpg").write_bytes(whole[:length])
        with pytest.raises(ImageError, match=r"cut\.jpg .*truncated"):
            read_image(tmp_path / "cut.jpg")


@pytest.mark.parametrize("suffix", [".png", ".webp", ".gif", ".tif", ".bmp"])
def test_truncated_files_of_other_kinds(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    whole = save(tmp_path / f"whole{suffix}", noise).read_bytes()
    cut = tmp_path / f"cut{suffix}"
    for length in (12, 30, len(whole) // 2, len(whole) * 9 // 10):
        cut.write_bytes(whole[:length])
        with pytest.raises(ImageError, match="cut"):
            read_image(cut)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([".jpg", ".png", ".webp", ".gif", ".tif", ".bmp"]), st.data())
def test_damage_gives_an_image_or_an_image_error(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, data: st.DataObject
) -> None:
    path = save(tmp_path_factory.mktemp("damage") / f"photo{suffix}", PHOTO)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's about damaged metadata
        try:
            image = read_image(path, max_pixels=10_000_000)
        except ImageError:
            return
    assert image.ndim == 3
    assert image.dtype == np.uint8


def test_text_named_jpg(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("hello, I am not a picture")
    with pytest.raises(ImageError, match=r"text\.jpg is no image .*hello, I am.*convert"):
        read_image(tmp_path / "text.jpg")


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(ImageError, match=r"empty\.jpg is empty"):
        read_image(tmp_path / "empty.jpg")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"lost\.jpg: no such file"):
        read_image(tmp_path / "lost.jpg")


def test_folder(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="is a folder"):
        read_image(tmp_path)


def test_device() -> None:
    with pytest.raises(ImageError, match="not a regular file"):
        read_image("/dev/zero")


@pytest.mark.parametrize("values", [[[0.0, 1.5]], [[-1.0, 0.0]], [[0.0, np.nan]], [[0.0, np.inf]]])
def test_float_tiff_of_another_range(tmp_path: Path, values: list[list[float]]) -> None:
    path = save(tmp_path / "elevation.tif", np.array(values, np.float32))
    with pytest.raises(ImageError, match=r"elevation\.tif holds floats from .*expected \[0, 1\]; divide"):
        read_image(path)


def test_float_colour_tiff(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "hdr.tif"), np.ones((2, 2, 3), np.float32))
    with pytest.raises(ImageError, match=r"hdr\.tif .*convert it to PNG"):
        read_image(tmp_path / "hdr.tif")


def test_32_bit_integers(tmp_path: Path) -> None:
    path = save(tmp_path / "ids.tif", Image.fromarray(np.array([[1, 70000]], np.int32)))
    with pytest.raises(ImageError, match=r"ids\.tif holds int32; expected uint8"):
        read_image(path)


def test_a_program_is_not_run(tmp_path: Path) -> None:
    path = save(tmp_path / "drawing.eps", PHOTO)
    with pytest.raises(ImageError, match=r"drawing\.eps is a drawing program"):
        read_image(path)


def png_of_zeros(width: int, height: int) -> bytes:
    """A bilevel PNG as a bomb would be: a few kilobytes for any size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_of_zeros(20_000, 20_000))
    assert path.stat().st_size < 200_000
    limit = Image.MAX_IMAGE_PIXELS
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError, match=r"bomb\.png has 20000 x 20000 = 400 megapixels, above the limit of 200"):
            read_image(path)
    assert time.perf_counter() - start < 0.5
    assert limit == Image.MAX_IMAGE_PIXELS


def test_the_limit_is_ours_and_not_that_of_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 400)  # as if these pictures were large
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for suffix in (".png", ".tif", ".webp", ".gif", ".jpg"):
            path = save(tmp_path / f"large{suffix}", PHOTO)
            assert read_image(path, max_pixels=864).shape == PHOTO.shape
            with pytest.raises(ImageError, match="above the limit"):
                read_image(path, max_pixels=863)
    assert Image.MAX_IMAGE_PIXELS == 400
    assert read_image(path, max_pixels=None).shape == PHOTO.shape


# PIL images, arrays and tensors.


def test_kinds_of_arrays() -> None:
    mono = PHOTO[..., 0]
    for source in (mono, mono[..., None], Image.fromarray(mono)):
        np.testing.assert_array_equal(read_image(source), PHOTO[..., [0, 0, 0]])
    for source in (PHOTO, Image.fromarray(PHOTO), PHOTO / 255, (PHOTO / 255).astype(np.float32)):
        np.testing.assert_array_equal(read_image(source), PHOTO)
    half = read_image((PHOTO / 255).astype(np.float16))
    assert np.abs(half.astype(int) - PHOTO).max() <= 1
    np.testing.assert_array_equal(read_image(PHOTO[::-1, ::-2]), PHOTO[::-1, ::-2])


def test_kinds_of_tensors() -> None:
    channels_last = torch.from_numpy(PHOTO)
    channels_first = channels_last.permute(2, 0, 1)
    for tensor in (channels_first, channels_last, channels_first / 255, (channels_last / 255).requires_grad_()):
        np.testing.assert_array_equal(read_image(tensor), PHOTO)
    np.testing.assert_array_equal(read_image(channels_first[:1]), PHOTO[..., [0, 0, 0]])
    assert np.abs(read_image((channels_first / 255).bfloat16()).astype(int) - PHOTO).max() <= 1
    np.testing.assert_array_equal(read_image(to_tensor(PHOTO)), PHOTO)


def test_the_result_is_never_a_view() -> None:
    image = PHOTO.copy()
    read_image(image)[:] = 0
    np.testing.assert_array_equal(image, PHOTO)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (np.zeros((3, 8, 9), np.uint8), r"shape \(3, 8, 9\).*transpose\(1, 2, 0\)"),
        (np.zeros((2, 8, 9, 3), np.uint8), "one by one or as a list"),
        (torch.zeros(1, 3, 8, 9), "the tensor has shape .*one by one"),
        (np.zeros((8, 9, 2), np.uint8), r"expected \(H, W\)"),
        (np.zeros(5, np.uint8), r"shape \(5,\)"),
        (np.zeros((0, 9, 3), np.uint8), "shape"),
        (np.zeros((8, 9, 3), np.int64), "the array holds int64; expected uint8"),
        (np.zeros((8, 9, 3), bool), "holds bool"),
        (np.full((8, 9, 3), 255.0), r"from 255 to 255; expected \[0, 1\]; divide"),
        (torch.full((3, 8, 9), 2.0), "the tensor holds floats"),
        (None, "got NoneType"),
        (b"bytes", "got bytes"),
    ],
)
def test_sources_that_are_no_image(source: Any, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        read_image(source)


def test_a_closed_pil_image(tmp_path: Path) -> None:
    picture = Image.open(save(tmp_path / "photo.png", PHOTO))
    picture.close()
    with pytest.raises(ImageError, match="the PIL image"):
        read_image(picture)


# Tensors and sizes.


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_normalising_is_per_channel_and_keeps_the_dtype(dtype: torch.dtype) -> None:
    images = torch.rand(2, 3, 4, 5).to(dtype)
    normalised = normalise(images, (0.5, 0.25, 0.0), (0.5, 1.0, 2.0))
    assert normalised.dtype == dtype
    expected = [(images[:, 0] - 0.5) / 0.5, images[:, 1] - 0.25, images[:, 2] / 2]
    assert torch.equal(normalised, torch.stack(expected, 1))
    assert torch.equal(normalise(images[1], (0.5, 0.25, 0.0), (0.5, 1.0, 2.0)), normalised[1])


def test_to_tensor() -> None:
    tensor = to_tensor(PHOTO)
    assert tensor.is_contiguous()
    assert torch.equal(tensor, torch.from_numpy(PHOTO).permute(2, 0, 1) / 255)
    frozen = PHOTO.copy()
    frozen.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(to_tensor(frozen), tensor)


@pytest.mark.parametrize("shape", [(512, 683), (683, 512), (100, 37), (3, 4000), (448, 448), (1, 1), (333, 999)])
def test_resizing_is_that_of_mmcv(shape: tuple[int, int]) -> None:
    mmcv = pytest.importorskip("mmcv")
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    size = resized_size(shape, short_side=448)
    np.testing.assert_array_equal(resize_image(image, size), mmcv.imrescale(image, (2048, 448)))
    np.testing.assert_array_equal(resize_image(image, (56, 40)), mmcv.imresize(image, (40, 56)))


def test_resizing_half_pixel_centres() -> None:
    ramp = np.repeat(np.arange(0, 200, 20, dtype=np.uint8)[None, :, None], 3, axis=2)
    doubled = resize_image(ramp, (1, 20))
    assert doubled[0, :5, 0].tolist() == [0, 5, 15, 25, 35]


def test_reading_files_does_not_import_torch() -> None:
    program = (
        "import sys, densevl.core.images, densevl.core.files, densevl.core.files; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_an_array_that_is_an_image_is_not_copied():
    image = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    assert as_image(image) is image
    for other in (image[:, ::-1], image[..., :1], image[..., 0], image / 255, image[:, :, ::-1], image[:, 1:]):
        found = as_image(other)
        assert np.array_equal(found, read_image(other))
        assert found.flags.c_contiguous
        assert not np.shares_memory(found, image)
    with pytest.raises(ImageError, match="shape"):
        as_image(image[None])
