"""Images in buckets: from servers of S3 and Google Cloud Storage on this machine, and in the memory of this process."""

import io
import json
import multiprocessing
import sys
import tarfile
import threading
from concurrent.futures import ProcessPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer

import fsspec
import pytest
from core.inputs.grey import add, png
from fsspec.implementations.memory import MemoryFileSystem
from toys.buckets import forget

from densevl.core.errors import ImageError, UsageError
from densevl.core.inputs import BrokenInput, find_inputs, open_input, remote
from densevl.core.inputs.remote import RemoteImage


def packed(values, mode="w", key="{}.png"):
    """A tar archive of grey images."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for value in values:
            add(archive, key.format(value), png(value))
            add(archive, f"{value}.txt", b"a caption")
    return file.getvalue()


@pytest.fixture
def filled(bucket):
    """The URL of a bucket with images, each of one grey value."""
    files = {
        "photos/a.png": png(1),
        "photos/day1/img10.png": png(3),
        "photos/day1/img2.png": png(2),
        "photos/.hidden/b.png": png(9),
        "photos/notes.txt": b"no image",
        "photos/odd [1] #?%41.png": png(4),
        "other/a.png": png(5),
        "list.txt": b"# images\nphotos/a.png\nother\nnone\nnone.png\n",
        "shards/s-000.tar": packed((10, 11)),
        "shards/s-001.tar": packed((12, 13)),
        "packed.tar.gz": packed((14, 15), "w:gz"),
        "paths.csv": b"url,path\n,photos/a.png\n,none.png\n",
    }
    for name, data in files.items():
        bucket.pipe_file(f"{bucket.name}/{name}", data)
    return bucket.url


def values(arguments, **settings):
    return {item.relative: int(item.read()[0, 0, 0]) for item in find_inputs(arguments, **settings)}


def test_folders_globs_and_objects_are_read(filled):
    odd = "odd [1] #_A"
    assert values([f"{filled}/photos/"]) == {"a": 1, "day1/img2": 2, "day1/img10": 3, odd: 4}
    assert list(values([f"{filled}/photos"])) == ["a", "day1/img2", "day1/img10", odd]
    assert values([f"{filled}/photos/*.png"]) == {"a": 1, odd: 4}
    assert values([f"{filled}/**/img*.png"]) == {"photos/day1/img2": 2, "photos/day1/img10": 3}
    assert values([f"{filled}/photos/a.png"]) == {"a": 1}
    assert values([f"{filled}/photos/odd [1] #?%41.png"]) == {odd: 4}
    assert values([f"{filled}/photos/a.png", f"{filled}/other/a.png"]) == {"photos/a.png": 1, "other/a.png": 5}


def test_places_lead_back_to_images_and_tell_their_state(filled, bucket):
    arguments = [f"{filled}/photos", f"{filled}/shards/s-000.tar", f"{filled}/packed.tar.gz"]
    for item in find_inputs(arguments):
        again = open_input(item.place)
        assert again.place == item.place
        assert again.state() == item.state() != ()
        assert (again.read() == item.read()).all()
    [before] = find_inputs([f"{filled}/other/a.png"])
    bucket.pipe_file(f"{bucket.name}/other/a.png", png(6))
    assert open_input(before.place).state() != before.state(), "what was listed has the state that it had then"


def test_shards_are_read_by_braces_and_globs(filled):
    expected = {"10": 10, "11": 11, "12": 12, "13": 13}
    assert values([f"{filled}/shards/s-{{000..001}}.tar"]) == expected
    assert values([f"{filled}/shards/*.tar"]) == expected
    assert values([f"{filled}/packed.tar.gz"]) == {"14": 14, "15": 15}
    with pytest.raises(UsageError, match=r"s-002\.tar is not there"):
        find_inputs([f"{filled}/shards/s-{{001..002}}.tar"])


def test_lists_and_tables_in_buckets_name_what_lies_beside_them(filled, bucket, tmp_path):
    *found, folder, none = find_inputs([f"@{filled}/list.txt"])
    assert [int(item.read()[0, 0, 0]) for item in found] == [1, 5]
    assert isinstance(folder, BrokenInput)
    with pytest.raises(
        ImageError, match=r"/none is not there; check the address: line 4 of the list gs://|line 4 of the list s3://"
    ):
        folder.read()
    with pytest.raises(ImageError, match=r"/none\.png is not there"):
        none.read()
    first, second = find_inputs([f"{filled}/paths.csv"])
    assert (first.relative, int(first.read().max())) == ("photos/a", 1)
    assert isinstance(second, RemoteImage)
    (tmp_path / "list.txt").write_text(f"{filled}/shards/s-000.tar\n{filled}/other/\n")
    assert values([f"@{tmp_path / 'list.txt'}"]) == {"10": 10, "11": 11, "a": 5}


def test_parquet_in_a_bucket(filled, bucket):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    file = io.BytesIO()
    parquet.write_table(pyarrow.table({"image": [png(value) for value in range(40)]}), file)
    bucket.pipe_file(f"{bucket.name}/all.parquet", file.getvalue())
    found = find_inputs([f"{filled}/all.parquet"])
    assert [int(item.read().max()) for item in found] == list(range(40))
    assert (open_input(found[7].place).read() == 7).all()


def read(item):
    return int(item.read()[0, 0, 0])


def test_other_processes_read_them(filled):
    found = find_inputs([f"{filled}/photos", f"{filled}/shards/*.tar", f"{filled}/packed.tar.gz"])
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert list(pool.map(read, found)) == list(map(read, found))


ONLY_S3 = pytest.mark.parametrize("bucket", ["s3"], indirect=True)


def test_what_is_not_there_is_said_in_one_line(filled, bucket):
    absent = f"{bucket.protocol[0]}://no-bucket-of-ours"
    for url, message in {
        f"{filled}/none.png": "none.png is not there; check the address",
        f"{filled}/none/": "^no image at [gs]",
        f"{filled}/*.jpg": "not there|no image at",
        f"{absent}/a.png": "in a bucket that does not exist; check its name|/a.png is not there; check the address",
        f"{absent}/": "in a bucket that does not exist|not there",
        "s4://a/b.png": r"nothing reads s4:// here; name files, or objects of s3://, gs://",
    }.items():
        with pytest.raises(UsageError, match=message) as refused:
            find_inputs([url])
        assert url in str(refused.value) or "s4" in url
    with pytest.raises(ImageError, match=r"does not exist|is not there"):
        open_input(f"{absent}/a.png").read()
    assert open_input(f"{absent}/a.png").state() == ()


@ONLY_S3
def test_without_credentials_the_cure_is_said(filled, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    forget("s3")
    with pytest.raises(UsageError, match=r"cannot be read without credentials .*aws configure"):
        find_inputs([f"{filled}/photos/a.png"])


@ONLY_S3
def test_a_public_bucket_is_read_without_credentials(filled, bucket, monkeypatch, tmp_path):
    bucket.chmod(f"{bucket.name}/photos/a.png", "public-read")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("FSSPEC_S3_ANON", "true")
    monkeypatch.setattr(fsspec.config, "conf", {})
    fsspec.config.set_conf_env(fsspec.config.conf)
    forget("s3")
    assert values([f"{filled}/photos/a.png"]) == {"a": 1}


class Refusing(BaseHTTPRequestHandler):
    """What Google Cloud Storage answers to somebody without credentials, or not at all now."""

    code, said = 401, "Anonymous caller does not have storage.objects.get access to the Google Cloud Storage object."

    def do_GET(self):
        answer = json.dumps({"error": {"code": self.code, "message": self.said}}).encode()
        self.send_response(self.code)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *message):
        pass


@pytest.fixture
def refusing(monkeypatch):
    """The URL of an image on a server that refuses it."""
    server = HTTPServer(("127.0.0.1", 0), Refusing)
    server.handle_error = lambda *request: None  # clients hang up when they know enough
    threading.Thread(target=server.serve_forever, args=(0.01,)).start()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.server_port}")
    forget("gs")
    yield "gs://private/a.png"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("code", [401, 403])
def test_who_may_not_read_is_told_at_once_how_to(refusing, monkeypatch, capfd, code):
    monkeypatch.setattr(Refusing, "code", code)
    with pytest.raises(
        UsageError,
        match=r"without credentials .*Anonymous caller.*FSSPEC_GS_TOKEN=anon\)$"
        if code == 401
        else r"without credentials .*gcloud auth",
    ) as refused:
        find_inputs([refusing])
    assert "\n" not in str(refused.value)
    assert capfd.readouterr().err == "", "the libraries of the stores say what the error says"


def test_offline_they_are_refused(filled, tmp_path):
    (tmp_path / "list.txt").write_text(f"{filled}/photos/a.png\n")
    for argument in (f"{filled}/photos", f"@{tmp_path / 'list.txt'}", f"@{filled}/list.txt"):
        with pytest.raises(UsageError, match="must not be used offline"):
            find_inputs([argument], offline=True)
    with pytest.raises(UsageError, match="must not be used offline"):
        open_input(f"{filled}/photos/a.png", offline=True)


def test_an_object_that_is_too_large_is_not_fetched(filled, monkeypatch):
    monkeypatch.setattr(remote, "MOST_BYTES", 10)
    with pytest.raises(ImageError, match=r"a.png has \d+ bytes, above the limit of 10"):
        open_input(f"{filled}/photos/a.png").read()


@pytest.mark.parametrize("url", ["s3://b/a.png", "gs://b/a.png"])
def test_without_the_extra_the_cure_is_said(monkeypatch, url):
    for name in ("s3fs", "s3fs.core", "gcsfs", "gcsfs.core"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, url[:2], raising=False)
    remote._check.cache_clear()
    with pytest.raises(UsageError, match=rf"what reads {url[:5]} is not installed: pip install 'densevl\[buckets\]'"):
        find_inputs([url])
    remote._check.cache_clear()


class Flaky(MemoryFileSystem):
    """Files in memory that are out of reach for the first few times."""

    protocol, faults = "flaky", []

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.removeprefix("flaky:/"))

    def cat_file(self, path, start=None, end=None, **settings):
        if self.faults:
            raise self.faults.pop()
        return super().cat_file(path, start, end, **settings)


@pytest.fixture
def flaky(monkeypatch):
    """The URL of an image that is out of reach while ``Flaky.faults`` has errors."""
    monkeypatch.setattr(remote, "WAIT", 0.0)
    fsspec.register_implementation("flaky", Flaky, clobber=True)
    Flaky("").pipe_file("/a.png", png(7))
    return "flaky://a.png"


def test_a_fault_that_passes_is_tried_again(flaky, monkeypatch):
    monkeypatch.setattr(Flaky, "faults", [TimeoutError("late"), ConnectionResetError("gone"), OSError("slow down")])
    assert (open_input(flaky).read() == 7).all()
    assert not Flaky.faults


def test_what_takes_long_to_fail_is_not_asked_for_again(flaky, monkeypatch):
    monkeypatch.setattr(remote, "PATIENCE", 0.0)
    monkeypatch.setattr(Flaky, "faults", [TimeoutError("late")] * 2)
    with pytest.raises(ImageError, match="cannot be had: TimeoutError: late"):
        open_input(flaky).read()
    assert len(Flaky.faults) == 1


def test_a_fault_in_the_midst_of_an_archive_is_tried_again(flaky, monkeypatch):
    Flaky("").pipe_file("/all.tar", packed(range(30)))
    first, *_ = find_inputs(["flaky://all.tar"])
    monkeypatch.setattr(remote, "BLOCK", 4096)
    monkeypatch.setattr(Flaky, "faults", [ConnectionResetError("gone")] * 2)
    assert values(["flaky://all.tar"]) == {str(value): value for value in range(30)}
    assert (open_input(first.place).read() == 0).all()
    assert not Flaky.faults
    monkeypatch.setattr(Flaky, "faults", [ConnectionResetError("gone")] * 99)
    [broken] = find_inputs(["flaky://all.tar"])
    with pytest.raises(ImageError, match=r"all\.tar cannot be had: ConnectionResetError: gone"):
        broken.read()


@pytest.mark.parametrize(("faults", "left"), [([TimeoutError("late")] * 9, 5), ([PermissionError("no")] * 2, 1)])
def test_a_fault_that_stays_is_said(flaky, monkeypatch, faults, left):
    monkeypatch.setattr(Flaky, "faults", faults)
    with pytest.raises(ImageError, match=r"a\.png cannot be (had: TimeoutError: late|read without credentials)"):
        open_input(flaky).read()
    assert len(faults) == left


def test_files_may_be_written_as_urls(tmp_path):
    (tmp_path / "a b.png").write_bytes(png(3))
    [item] = find_inputs([f"file://{tmp_path}/a%20b.png"])
    assert item.place == str(tmp_path / "a b.png")
    assert (open_input(f"file://{tmp_path}/a%20b.png").read() == 3).all()
