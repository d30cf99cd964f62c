"""What every format keeps: names, equal bytes, files that are whole, joins without the model."""

import json
import tracemalloc
from pathlib import Path

import pytest
from toys.records import save

from densevl.api.jobs.formats import DEFAULT, FORMATS, usual_formats
from densevl.api.jobs.formats.contracts import Format
from densevl.api.jobs.formats.joined import join
from densevl.api.jobs.formats.record import ImageRecord
from densevl.core.errors import ImageError, OutputError, UsageError
from densevl.core.registry import build

OF_RECORDS = [name for name in FORMATS.names if not build(FORMATS, name).of_probabilities]
"""Formats that are made of records; probabilities have tests of their own."""

NEED_IMAGES = ("overlay", "yolo-seg", "labelme", "labelme-embedded", "html")


def files_of(out: Path) -> dict[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", OF_RECORDS)
def test_equal_records_give_equal_bytes(name, records, tmp_path):
    made = save(name, tmp_path / "one", records)
    again = [ImageRecord.from_json(json.loads(json.dumps(r.as_json())), r.name, r.vocabulary) for r in records]
    save(name, tmp_path / "two" if name != "labelme" else tmp_path / "one", again)
    first = files_of(tmp_path / "one")
    if name != "labelme":
        assert files_of(tmp_path / "two") == first
    assert {file for record in records for file in made.files(record)} <= set(first)
    assert not any(Path(file).name.startswith(".") for file in first)
    assert [file for file, content in first.items() if not content] == [
        file for file in first if file.endswith("empty.txt")
    ]


@pytest.mark.parametrize("name", FORMATS.names)
def test_files_of_different_images_differ(name, records):
    made = build(FORMATS, name)
    files = [file for record in records for file in made.files(record)]
    assert len(files) == len(set(files))


def test_files_of_different_formats_differ(records):
    files = [
        file
        for name in FORMATS.names
        if name != "labelme-embedded"
        for r in records
        for file in build(FORMATS, name).files(r)
    ]
    assert len(files) == len(set(files))
    assert set(DEFAULT) <= set(FORMATS.names)


@pytest.mark.parametrize("name", OF_RECORDS)
def test_formats_write_nothing_of_images_that_are_gone(name, records, tmp_path):
    """A format that needs the image says so; any other does not ask for it."""
    gone = [
        ImageRecord.from_json({**r.as_json(), "source": [str(tmp_path / "gone.png")]}, r.name, r.vocabulary)
        for r in records
    ]
    if name in (*NEED_IMAGES, "geotiff"):
        with pytest.raises(ImageError, match=r"gone\.png is gone"):
            build(FORMATS, name).write(tmp_path / "out", gone[0])
    else:
        save(name, tmp_path / "out", gone)
        save(name, tmp_path / "there", records)
        assert files_of(tmp_path / "out") == files_of(tmp_path / "there")


@pytest.mark.parametrize("name", NEED_IMAGES)
def test_images_that_come_from_no_file(name, records, tmp_path):
    first = records[0]
    here = ImageRecord(first.name, first.file_name, first.size, first.vocabulary, first.classes, image=first.pixels())
    save(name, tmp_path, [here])
    assert (tmp_path / build(FORMATS, name).files(here)[0]).is_file()
    with pytest.raises(ImageError, match="kept nowhere"):
        build(FORMATS, name).write(tmp_path, ImageRecord.from_json(here.as_json(), first.name, first.vocabulary))


def test_an_image_that_changed_is_refused(records, tmp_path):
    other = ImageRecord.from_json({**records[0].as_json(), "source": [records[1].place]}, "a", records[0].vocabulary)
    with pytest.raises(ImageError, match="has changed since it was segmented"):
        build(FORMATS, "overlay").write(tmp_path, other)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name",
    [name for name in OF_RECORDS if name not in ("overlay", "labels", "geotiff", "labelme", "labelme-embedded")],
)
def test_no_image_at_all(name, records, tmp_path):
    save(name, tmp_path, [], records[0].vocabulary)
    assert files_of(tmp_path)


@pytest.mark.parametrize("name", OF_RECORDS)
def test_a_folder_that_cannot_be_written(name, records, tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(OutputError, match="cannot write"):
        save(name, tmp_path / "out", records)


def test_an_unknown_format_names_the_known_ones():
    with pytest.raises(UsageError, match=r"format 'yolo' is unknown; did you mean yolo-seg.*cvat, geotiff"):
        build(FORMATS, "yolo")


def test_a_format_of_ones_own(records, tmp_path):
    class Names(Format):
        def join(self, out, records, vocabulary):
            out.joinpath("names.txt").write_text("\n".join(record.file_name for record in records))

    FORMATS.register_module(name="names", module=Names)
    try:
        save("names", tmp_path, records)
        assert "names" in FORMATS.names
        assert (tmp_path / "names.txt").read_text().splitlines()[0] == "a.png"
    finally:
        FORMATS.module_dict.pop("names")


def test_half_a_file_is_never_seen(records, tmp_path, monkeypatch):
    """A disk that is full while records are joined leaves the old file as it was."""
    save("coco", tmp_path, records)
    before = files_of(tmp_path)

    def some():
        yield records[0]
        raise OSError(28, "No space left on device")

    for name in ("coco", "coco-panoptic", "label-studio", "cvat"):
        save(name, tmp_path, records)
        before = files_of(tmp_path)
        with pytest.raises((OutputError, OSError), match="No space left"):
            build(FORMATS, name).join(tmp_path, some(), records[0].vocabulary)
        assert files_of(tmp_path) == before


def test_formats_are_joined_in_one_pass(records, tmp_path):
    class Names(Format):
        def join(self, out, records, vocabulary):
            out.joinpath("names.txt").write_text("\n".join(record.file_name for record in records))

    passes = []

    def again():
        passes.append(None)
        return iter(records)

    names = ("overlay", "coco", "coco-panoptic", "cvat", "label-studio", "yolo-seg", "html")
    for name in names:
        save(name, tmp_path / "alone", records)
        for record in records:
            build(FORMATS, name).write(tmp_path / "all", record)
    join([build(FORMATS, name) for name in names], tmp_path / "all", again, records[0].vocabulary)
    assert files_of(tmp_path / "all") == files_of(tmp_path / "alone")
    assert len(passes) == 1
    join([build(FORMATS, "overlay")], tmp_path / "all", again, records[0].vocabulary)
    assert len(passes) == 1
    join([build(FORMATS, "coco"), Names()], tmp_path / "all", again, records[0].vocabulary)
    assert len(passes) == 3
    assert len((tmp_path / "all" / "names.txt").read_text().splitlines()) == len(records)


def test_memory_does_not_grow_with_the_images_of_a_page(records, tmp_path):
    record, peaks = records[1], []
    made = save("html", tmp_path, [record])
    for count in (10, 210):
        tracemalloc.start()
        made.join(tmp_path, (record for _ in range(count)), record.vocabulary)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 200 * 1000  # bytes an image


def test_overlays_are_usual_of_a_hundred_images():
    assert usual_formats(1) == usual_formats(100) == DEFAULT
    assert usual_formats(101) == ("labels", "coco")
