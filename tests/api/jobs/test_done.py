"""The list of what is done: a cache of the records, whatever becomes of it."""

import json
import os
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

import densevl
from densevl.api.jobs.done import LIST, Done, DoneList, Listing
from densevl.api.jobs.formats.contracts import Format
from densevl.api.jobs.merge import merge
from densevl.api.jobs.segment import SegmentJob
from densevl.benchmarks.speed.files import benchmark_files, draw
from densevl.core.inputs import find_inputs
from densevl.datasets.scenes import render

WORDS = "grass, sand, water"
NAMES = ["a", "b b", "day/ü", "day/d"]


@pytest.fixture(scope="module")
def model():
    return densevl.load("mini-maskclip", short_side=32)


@pytest.fixture
def photos(tmp_path):
    for number, name in enumerate(NAMES):
        path = tmp_path / "photos" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(render(3, number, size=(32, 40)).image).save(path)
    return tmp_path / "photos"


@pytest.fixture
def run(model, photos, tmp_path):
    """Segment the photos; how many were done, and how many had been."""

    def segment(out=tmp_path / "out", **settings):
        ended = SegmentJob(model, WORDS, out, **settings).run(find_inputs([photos], out))
        assert not ended.failures
        return len(ended.done), len(ended.skipped)

    return segment


@pytest.fixture
def reads(monkeypatch):
    """The names of the records that are read."""
    names = []
    read = DoneList.read
    monkeypatch.setattr(DoneList, "read", lambda self, name: (names.append(name), read(self, name))[1])
    return names


def files(out):
    return {path: (path.stat().st_ino, path.read_bytes()) for path in out.rglob("*") if path.is_file()}


def test_a_run_again_reads_no_record_and_writes_no_file(run, reads, tmp_path):
    save = ["coco", "labels", "cvat", "label-studio", "html", "coco-panoptic", "yolo-seg"]
    assert run(save=save) == (4, 0)
    del reads[:]
    before = files(tmp_path / "out")
    assert run() == (0, 4)
    assert reads == []
    assert merge([tmp_path / "out"]).images == 4
    assert reads == []
    assert files(tmp_path / "out") == before


def cut(path):
    path.write_bytes(path.read_bytes()[:-40])


def overwrite_some(path):
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([*lines[:2], b"\xff\xfe\0 no line", b'{"name": 3}', b"[]", *lines[3:]]))


def age(path):
    for record in path.parent.rglob("*.record.json"):
        os.utime(record, (1, 1))


def misname(path):
    path.write_bytes(path.read_bytes().replace(b'"name":"a"', b'"name":"b b"'))


@pytest.mark.parametrize("spoil", [os.remove, cut, overwrite_some, age, misname, lambda path: path.write_bytes(b"")])
def test_a_list_that_is_missing_or_spoilt_changes_nothing_and_is_mended(run, reads, tmp_path, spoil):
    run()
    results = {path: data for path, data in files(tmp_path / "out").items() if path.name != LIST}
    del reads[:]
    spoil(tmp_path / "out" / LIST)
    assert run() == (0, 4)
    assert reads
    assert {path: one[1] for path, one in files(tmp_path / "out").items() if path.name != LIST} == {
        path: one[1] for path, one in results.items()
    }
    del reads[:]
    assert run() == (0, 4)
    assert reads == []


def test_a_record_or_a_file_that_was_removed_is_made_again(run, tmp_path):
    run()
    (tmp_path / "out" / "a.record.json").unlink()
    (tmp_path / "out" / "day" / "ü.labels.png").unlink()
    assert run() == (2, 2)
    assert run() == (0, 4)


def test_joined_files_follow_records_that_were_changed_by_hand(run, tmp_path):
    out = tmp_path / "out"
    run()
    record = json.loads((out / "a.record.json").read_text())
    record["image"]["file_name"] = "another.png"
    (out / "a.record.json").write_text(json.dumps(record))
    assert run() == (0, 4)
    joined = json.loads((out / "annotations.json").read_text())
    assert [image["file_name"] for image in joined["images"]] == ["another.png", "b b.png", "day/d.png", "day/ü.png"]
    (out / "annotations.json").write_text("{}")
    run()
    assert json.loads((out / "annotations.json").read_text()) == joined
    (out / "annotations.json").unlink()
    run()
    assert json.loads((out / "annotations.json").read_text()) == joined


def test_a_format_that_does_not_name_its_joined_files_joins_each_time(run, monkeypatch, tmp_path):
    class Names(Format):
        def join(self, out, records, vocabulary):
            (out / "names.txt").write_text(" ".join(record.name for record in records))

    monkeypatch.setattr("densevl.api.jobs.results.build", lambda formats, name: Names())
    for count in (4, 0):
        (tmp_path / "out" / "names.txt").unlink(missing_ok=True)
        assert run(save=["names"]) == (count, 4 - count)
        assert (tmp_path / "out" / "names.txt").read_text() == "a b b day/d day/ü"


def test_pages_follow_pictures_that_were_removed(run, tmp_path):
    run(save=["html"])
    whole = (tmp_path / "out" / "index.html").read_text()
    next((tmp_path / "out" / "page" / "pictures").glob("a*")).unlink()
    merge([tmp_path / "out"])
    assert (tmp_path / "out" / "index.html").read_text() != whole
    assert run() == (1, 3)
    assert (tmp_path / "out" / "index.html").read_text() == whole


def test_merging_again_copies_nothing(run, reads, photos, tmp_path):
    run(out=tmp_path / "one")
    merge([tmp_path / "one"], tmp_path / "all")
    before = files(tmp_path / "all")
    del reads[:]
    assert merge([tmp_path / "one"], tmp_path / "all").images == 4
    assert files(tmp_path / "all") == before
    (tmp_path / "all" / "a.labels.png").unlink()
    merge([tmp_path / "one"], tmp_path / "all")
    assert (tmp_path / "all" / "a.labels.png").is_file()


def test_many_write_one_list(tmp_path):
    def work(number):
        listed = DoneList(tmp_path, "settings")
        for i in range(50):
            record = {"settings": "settings", "image": {"file_name": "ü.png", "height": 3, "width": 4}}
            listed.write(f"{number}/{i}", {**record, "source": [f"/{number}/{i}", 1, 2], "saved": {"coco": "none"}})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    with (tmp_path / LIST).open("ab") as file:
        file.write(b'\n{"settings":"settings","name":"0/0","rec')
    listed = DoneList(tmp_path, "settings")
    assert sorted(listed.lines) == sorted(f"{number}/{i}" for number in range(4) for i in range(50))
    found = [listed.get(name) for name in listed.lines]
    assert [done.place for done in found] == [f"/{name}" for name in listed.lines]
    assert sum(done.listed for done in found) == 199
    assert DoneList(tmp_path, "others").get("0/1") is None


def test_a_list_does_not_grow_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr("densevl.api.jobs.done._STALE", 10)
    record = {"settings": "s", "image": {"file_name": "a", "height": 3, "width": 4}, "source": ["/a"], "saved": {}}
    for _ in range(40):
        DoneList(tmp_path, "s").write("a", record)
    listed = DoneList(tmp_path, "s")
    listed.add_joined("coco", "digest", [(1, 2)])
    listed.refresh()
    listed.compact()
    assert len((tmp_path / LIST).read_bytes().split()) == 2
    done = listed.get("a")
    assert done == Done("a", done.state, ("/a",), "a", (3, 4), {}, listed=True)
    assert listed.joined("coco")["files"] == [[1, 2]]


def test_a_folder_is_listed_once(tmp_path):
    (tmp_path / "day").mkdir()
    (tmp_path / "day" / "a.png").touch()
    listing = Listing(tmp_path)
    assert listing.has("day/a.png")
    assert not listing.has("day")
    assert not listing.has("night/a.png")
    (tmp_path / "day" / "a.png").unlink()
    assert listing.has("day/a.png")
    assert not Listing(tmp_path).has("day/a.png")


def test_memory_does_not_grow_with_the_number_of_images(model, tmp_path):
    """Neither where all records are read and joined, nor where the list tells that nothing has changed."""
    peaks = {}
    for count in (20, 60, 260):
        photos, out = tmp_path / f"in{count}", tmp_path / f"out{count}"
        draw(photos, 1)
        job = SegmentJob(model, WORDS, out, save=["coco"])
        job.run(find_inputs([photos]))
        draw(photos, count)
        record = json.loads((out / "0.record.json").read_text())
        for number in range(count):
            item, files = photos / f"{number}.png", (out / f"{number}.record.json", out / f"{number}.coco.json")
            record["source"] = [str(item), item.stat().st_size, item.stat().st_mtime_ns]
            files[0].write_text(json.dumps(record))
            files[1].write_bytes((out / "0.coco.json").read_bytes())
        for listed in (False, True):
            tracemalloc.start()
            assert len(job.run(find_inputs([photos])).skipped) == count
            peaks[count, listed] = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
    for listed in (False, True):
        assert peaks[260, listed] - peaks[60, listed] < 200 * 1500, peaks


@pytest.mark.slow
def test_memory_of_first_runs_does_not_grow_with_the_number_of_images():
    """The command, on a thousand and on ten thousand images: less than 2 kB more for each."""
    rows = benchmark_files((1000, 10_000)).rows
    (_, (*_, first, _, _, again)), (_, (*_, most, _, _, most_again)) = rows
    assert max(most - first, most_again - again) < 9000 * 2000 / 2**20
