"""Images in archives."""

import io
import tarfile

import numpy as np
import pytest
from core.inputs.grey import add, png
from PIL import Image

from densevl.core.errors import ImageError
from densevl.core.inputs import BrokenInput, find_inputs
from densevl.core.inputs.archives import Archive


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tgz", "tar.bz2", "tar.xz", "TAR"])
def test_images_are_read_in_any_order_and_nothing_is_written(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    with tarfile.open(
        path, f"w:{suffix.rpartition('.')[2].replace('tgz', 'gz').lower().replace('tar', '')}"
    ) as archive:
        for value in range(5):
            add(archive, f"./day{value % 2}/{value}.png", png(value))
        add(archive, "day1", type=tarfile.DIRTYPE)
        add(archive, "readme.txt", b"no image")
        add(archive, "day1/._0.png", b"of another system")
    found = find_inputs([path])
    assert [item.relative for item in found] == ["day0/0", "day1/1", "day0/2", "day1/3", "day0/4"]
    for value in (3, 0, 4, 4, 1, 2):
        assert (found[value].read() == value).all()
    assert len({item.state() for item in found}) == 5
    assert list(tmp_path.iterdir()) == [path]


def test_what_would_lead_out_of_the_archive_is_refused(tmp_path):
    path, secret = tmp_path / "evil.tar", tmp_path / "secret.png"
    secret.write_bytes(png(1))
    with tarfile.open(path, "w") as archive:
        add(archive, "../../evil.png", png(2))
        add(archive, "/etc/evil.png", png(2))
        add(archive, "a/../../b.png", png(2))
        add(archive, "link.png", type=tarfile.SYMTYPE, linkname=str(secret))
        add(archive, "hard.png", type=tarfile.LNKTYPE, linkname="../secret.png")
        add(archive, "fifo.png", type=tarfile.FIFOTYPE)
        add(archive, "good.png", png(3))
    found = find_inputs([path])
    assert [isinstance(item, BrokenInput) for item in found] == [True] * 6 + [False]
    for item, reason in zip(found, ["leads out"] * 3 + ["link to", "link to", "no regular file"], strict=False):
        with pytest.raises(ImageError, match=reason):
            item.read()
    for item in found:
        assert not item.relative.startswith("/")
        assert ".." not in item.relative.split("/")
    assert (found[-1].read() == 3).all()


def test_a_name_that_comes_twice_is_what_came_last(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        add(archive, "a.png", png(1))
        add(archive, "b.png", png(2))
        add(archive, "./a.png", png(3))
    found = find_inputs([path])
    assert [item.relative for item in found] == ["b", "a"]
    assert (found[1].read() == 3).all()


@pytest.mark.parametrize("suffix", ["tar", "tar.gz"])
def test_damaged_archives_give_what_is_sound_and_name_the_damage(tmp_path, suffix):
    whole = tmp_path / f"whole.{suffix}"
    noise = np.random.default_rng(0)
    with tarfile.open(whole, "w:gz" if suffix.endswith("gz") else "w") as archive:
        for index in range(4):
            file = io.BytesIO()
            Image.fromarray(noise.integers(0, 255, (40, 40, 3), np.uint8)).save(file, "PNG")
            add(archive, f"{index}.png", file.getvalue())
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size * 4 // 10])
    found = find_inputs([path])
    assert 2 <= len(found) <= 4
    assert found[0].read().shape == (40, 40, 3)
    with pytest.raises(ImageError, match=r"the archive .*cut\.tar.* is damaged or cut short after \d images"):
        found[-1].read()
    assert found[-1].state() == ()


def test_a_damaged_header_is_not_the_end(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for index in range(3):
            add(archive, f"{index}.png", png(index))
    content = bytearray(path.read_bytes())
    content[content.index(b"1.png") : content.index(b"1.png") + 200] = b"x" * 200
    path.write_bytes(content)
    found = find_inputs([path])
    assert [item.relative for item in found] == ["0", "a"]
    with pytest.raises(ImageError, match="no header at byte 1024"):
        found[1].read()
    path.write_bytes(bytes(path.read_bytes()[:1024]))
    with pytest.raises(ImageError, match="no end mark"):
        find_inputs([path])[1].read()


@pytest.mark.parametrize("content", [b"", b"no archive", png(1) * 9])
@pytest.mark.parametrize("suffix", ["tar", "tar.gz"])
def test_what_is_no_archive_fails_as_an_image_does(tmp_path, content, suffix):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(content)
    [item] = find_inputs([path])
    with pytest.raises(ImageError, match=rf"the archive .*a\.{suffix} "):
        item.read()


def test_an_archive_without_images(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        add(archive, "a.txt", b"text")
    with pytest.raises(ImageError, match="has no image"):
        find_inputs([path])[0].read()


def test_an_image_beyond_the_limit_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        add(archive, "a.png", png(1))
    monkeypatch.setattr("densevl.core.inputs.archives.MOST_BYTES", 10)
    with pytest.raises(ImageError, match=r"a\.png has \d+ bytes, above the limit of 10"):
        find_inputs([path])[0].read()


def test_an_archive_that_vanishes_between_is_said(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        add(archive, "a.png", png(1))
    [(item, _)] = Archive(path).images()
    path.unlink()
    assert item.state() == ()
    with pytest.raises(ImageError, match="No such file"):
        item.read()


def test_threads_that_come_out_of_order_do_not_unpack_an_archive_again(tmp_path):
    """Two threads take neighbouring images in either order; the archive is not begun anew for that."""
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for value in range(12):
            add(archive, f"{value}.png", png(value))
    archive = Archive(path)
    images = [image for image, _ in archive.images()]
    rewinds = []
    rewind = archive._file._buffer.raw._rewind
    archive._file._buffer.raw._rewind = lambda: (rewinds.append(1), rewind())
    for value in (1, 0, 3, 2, 4, 7, 5, 6, 9, 8, 11, 10):
        assert (images[value].read() == value).all()
    assert not rewinds
    assert (images[0].read() == 0).all(), "far back it is begun anew"
    assert rewinds
