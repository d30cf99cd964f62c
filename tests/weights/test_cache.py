"""Fetching weights from a real server: resumed, verified, one process at a time, and what users are told to do."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save
from toys.local_hub import FILE, REPOSITORY, REVISION, Hub, ask_only, running

from densevl.core.errors import UsageError, WeightsError
from densevl.weights import (
    WeightsEntry,
    cache_dir,
    fetch,
    is_cached,
    load_state_dict,
    location,
    weights_entry,
)
from densevl.weights.table import DATA


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A running server with a small file of weights; ``HF_ENDPOINT`` points to it."""
    with running(Hub(save({"weight": torch.arange(60_000.0), "bias": torch.zeros(7)}))) as hub:
        ask_only(hub, monkeypatch, tmp_path)
        yield hub


def leftovers(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.glob(".*.part"))


def test_a_file_is_fetched_once_and_verified(hub: Hub) -> None:
    entry = hub.entry()
    assert not is_cached(entry)
    path = fetch(entry)
    assert path == location(entry) == cache_dir() / "weights" / "some-clip" / FILE
    assert path.read_bytes() == hub.content
    assert set(load_state_dict(path)) == {"weight", "bias"}
    assert hub.requests == [("GET", None)], "with a known hash nothing is asked but the file"
    assert fetch(entry) == path
    assert fetch(entry, offline=True) == path
    assert len(hub.requests) == 1
    assert is_cached(entry)
    assert leftovers(path) == []


def test_another_cache_may_be_named(hub: Hub, tmp_path: Path) -> None:
    path = fetch(hub.entry(), cache=tmp_path / "other")
    assert path == tmp_path / "other" / "weights" / "some-clip" / FILE


def test_a_hash_that_the_table_lacks_is_the_one_that_the_hub_declares(hub: Hub) -> None:
    path = fetch(hub.entry(sha256=None, size=None))
    assert path.read_bytes() == hub.content
    assert [method for method, _ in hub.requests] == ["HEAD", "GET"]
    record = json.loads((path.parent / f".{FILE}.checked.json").read_text())
    assert record["digest"] == hub.sha256


def test_a_hub_that_sends_something_else_than_it_declares_is_not_believed(hub: Hub) -> None:
    hub.declared = "0" * 64
    entry = hub.entry(sha256=None, size=None)
    with pytest.raises(WeightsError, match=f"sha256 {hub.sha256}, expected {'0' * 64}"):
        fetch(entry)
    assert not location(entry).exists()
    assert leftovers(location(entry)) == []


def test_a_hub_that_declares_no_hash_is_not_believed(hub: Hub) -> None:
    hub.declared = "8f14e45f"
    with pytest.raises(WeightsError, match="declares no sha256"):
        fetch(hub.entry(sha256=None))


def test_small_files_of_a_hub_are_declared_by_their_git_blob_id(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(hub.content)
    done = subprocess.run(["git", "hash-object", str(tmp_path / "file")], capture_output=True, text=True, check=True)
    hub.declared = done.stdout.strip()
    assert fetch(hub.entry(sha256=None, size=None)).read_bytes() == hub.content
    with pytest.raises(WeightsError, match="declares no sha256"):  # what another server means by 40 digits is its own
        fetch(hub.entry(sha256=None, repository=None, url=hub.entry().address, file="other"))


def test_the_licence_is_said_before_anything_is_fetched(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    entry = hub.entry(licence="CC-BY-NC-4.0")
    fetch(entry)
    assert "densevl: fetching some-clip: licence CC-BY-NC-4.0 (no commercial use)\n" in capsys.readouterr().err
    fetch(entry)
    assert "licence" not in capsys.readouterr().err, "what is here is not fetched"


def test_a_hash_declared_without_https_proves_nothing(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.example")
    with pytest.raises(WeightsError, match=r"hub\.example is not reached by https"):
        fetch(hub.entry(sha256=None))


def test_a_file_may_be_checked_by_its_git_blob_id(hub: Hub, tmp_path: Path) -> None:
    """The id as git itself computes it."""
    (tmp_path / "file").write_bytes(hub.content)
    done = subprocess.run(["git", "hash-object", str(tmp_path / "file")], capture_output=True, text=True, check=True)
    entry = hub.entry(sha256=None, size=None, git_blob=done.stdout.strip())
    path = fetch(entry)
    assert path.read_bytes() == hub.content
    assert fetch(entry, offline=True) == path
    assert hub.requests == [("GET", None)], "with a known hash nothing is asked but the file"
    path.write_bytes(hub.content[:-1] + b"x")
    with pytest.raises(WeightsError, match=f"git blob id [0-9a-f]{{40}}, expected {entry.git_blob}"):
        fetch(entry)
    other = hub.entry(sha256=None, size=None, git_blob="1" * 40)
    path.unlink()
    with pytest.raises(WeightsError, match=f"git blob id {entry.git_blob}, expected {'1' * 40}"):
        fetch(other)
    assert not path.exists()
    with pytest.raises(WeightsError, match=f"git hash-object must print {'1' * 40}"):
        fetch(other, offline=True)


def test_a_cut_connection_is_taken_up_where_it_broke(hub: Hub) -> None:
    hub.script = [100_000, 50_000]
    assert fetch(hub.entry()).read_bytes() == hub.content
    assert hub.downloads == [None, "bytes=100000-", "bytes=150000-"]


def test_a_killed_download_goes_on_next_time(hub: Hub) -> None:
    hub.stall_at = 131_072
    entry = hub.entry()
    process = _fetch_elsewhere(hub)
    target = location(entry)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and not any(p.stat().st_size == 131_072 for p in target.parent.glob(".*.part")):
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not target.exists(), "half a file never has the file's name"
    assert len(leftovers(target)) == 1
    assert fetch(entry).read_bytes() == hub.content
    assert hub.downloads == [None, "bytes=131072-"]
    assert leftovers(target) == []


def test_a_server_without_ranges_sends_it_all_again(hub: Hub) -> None:
    hub.ranges, hub.script = False, [100_000]
    assert fetch(hub.entry()).read_bytes() == hub.content
    assert hub.downloads == [None, "bytes=100000-"]


def test_a_part_longer_than_the_file_is_dropped(hub: Hub) -> None:
    target = location(hub.entry())
    target.parent.mkdir(parents=True)
    (target.parent / f".{FILE}.{hub.sha256[:12]}.part").write_bytes(b"x" * (len(hub.content) + 1))
    assert fetch(hub.entry()).read_bytes() == hub.content
    assert hub.downloads == [f"bytes={len(hub.content) + 1}-", None]


def test_a_part_of_other_content_is_refused_and_removed(hub: Hub) -> None:
    target = location(hub.entry())
    target.parent.mkdir(parents=True)
    (target.parent / f".{FILE}.{hub.sha256[:12]}.part").write_bytes(b"x" * 1000)
    with pytest.raises(WeightsError, match="It was removed"):
        fetch(hub.entry())
    assert leftovers(target) == []
    assert fetch(hub.entry()).read_bytes() == hub.content


def test_a_short_trouble_of_the_server_is_waited_out_once_something_came(hub: Hub) -> None:
    hub.script = [100_000, 503, 429]
    assert fetch(hub.entry()).read_bytes() == hub.content
    assert hub.downloads == [None, *["bytes=100000-"] * 3]


def test_a_server_that_keeps_breaking_off_is_given_up(hub: Hub) -> None:
    hub.script = [1000, *[0] * 20]
    with pytest.raises(WeightsError, match="cannot be fetched"):
        fetch(hub.entry())
    assert len(hub.downloads) == 4
    hub.script = []
    assert fetch(hub.entry()).read_bytes() == hub.content, "what came is kept for the next time"
    assert hub.downloads[-1] == "bytes=1000-"


def test_a_wrong_file_is_refused_and_removed(hub: Hub) -> None:
    entry = hub.entry(sha256="1" * 64)
    with pytest.raises(WeightsError, match=f"sha256 {hub.sha256}, expected {'1' * 64}"):
        fetch(entry)
    assert not location(entry).exists()
    assert leftovers(location(entry)) == []


def test_a_login_page_in_between_is_named(hub: Hub) -> None:
    entry = hub.entry(size=None)
    hub.content = b"<!DOCTYPE html><html>please log in</html>"
    with pytest.raises(WeightsError, match="what came is a web page"):
        fetch(entry)
    assert not location(entry).exists()


def test_a_file_of_another_length_is_not_even_fetched(hub: Hub) -> None:
    entry = hub.entry()
    hub.content = hub.content[:41]
    with pytest.raises(WeightsError, match=r"has 41 bytes of text/html, expected 240\d\d\d"):
        fetch(entry)
    assert len(hub.downloads) == 1
    assert leftovers(location(entry)) == []


def test_a_server_that_understands_no_range_is_given_up(hub: Hub) -> None:
    hub.script = [1000, 416, 1000, 416, 1000, 416]
    with pytest.raises(WeightsError, match="answered 416"):
        fetch(hub.entry())
    assert len(hub.downloads) == 4


@pytest.mark.parametrize("status", [401, 404, 503])
def test_a_server_that_refuses_is_not_asked_again(hub: Hub, status: int) -> None:
    hub.script = [status]
    with pytest.raises(WeightsError, match=f"answered {status}" if status < 500 else "Service Unavailable") as caught:
        fetch(hub.entry())
    assert len(hub.downloads) == 1
    assert "put at" in str(caught.value)


def test_an_unreachable_hub_fails_fast_and_tells_what_to_do(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    start = time.monotonic()
    for entry in (hub.entry(), hub.entry(sha256=None)):
        with pytest.raises(WeightsError, match=r"cannot be fetched \(127\.0\.0\.1:9: .*efused") as caught:
            fetch(entry)
        assert f"put at  {location(entry)}" in str(caught.value)
    assert time.monotonic() - start < 5
    assert leftovers(location(hub.entry())) == []


@pytest.mark.parametrize("how", ["argument", "DENSEVL_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_tells_exactly_what_to_fetch(hub: Hub, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    if how != "argument":
        monkeypatch.setenv(how, "1")
    monkeypatch.delenv("HF_ENDPOINT")
    with pytest.raises(WeightsError) as caught:
        fetch(hub.entry(), offline=how == "argument")
    message = str(caught.value)
    address = f"https://huggingface.co/{REPOSITORY}/resolve/{REVISION}/{FILE}"
    for part in (address, REPOSITORY, FILE, f"{len(hub.content)} bytes", f"sha256sum must print {hub.sha256}", "MIT"):
        assert part in message
    assert f"put at  {location(hub.entry())}" in message
    assert hub.requests == []


def test_the_error_keeps_its_lines_also_in_another_process(hub: Hub) -> None:
    with pytest.raises(WeightsError) as caught:
        fetch(hub.entry(), offline=True)
    assert len(str(caught.value).splitlines()) == 9
    copy = pickle.loads(pickle.dumps(caught.value))
    assert str(copy) == str(caught.value)
    assert copy.entries == (hub.entry(),)


def test_a_file_put_in_place_by_hand_works(hub: Hub) -> None:
    target = location(hub.entry())
    target.parent.mkdir(parents=True)
    target.write_bytes(hub.content)
    assert fetch(hub.entry(), offline=True) == target
    assert fetch(hub.entry()) == target
    assert hub.requests == []


def test_a_file_put_in_place_is_checked_against_what_the_hub_declares(hub: Hub) -> None:
    entry = hub.entry(sha256=None, size=None)
    target = location(entry)
    target.parent.mkdir(parents=True)
    target.write_bytes(hub.content[:-1] + b"x")
    with pytest.warns(UserWarning, match="cannot be checked from here"):
        assert fetch(entry, offline=True) == target
    with pytest.raises(WeightsError, match="damaged or another file"):
        fetch(entry)
    assert target.exists(), "what a user put there is not ours to remove"
    target.write_bytes(hub.content)
    assert fetch(entry) == target


def test_a_wrong_file_put_in_place_is_refused(hub: Hub) -> None:
    target = location(hub.entry())
    target.parent.mkdir(parents=True)
    target.write_bytes(hub.content[:1000])
    with pytest.raises(WeightsError, match=f"has 1000 bytes, expected {len(hub.content)}"):
        fetch(hub.entry(), offline=True)
    target.write_bytes(bytes(len(hub.content)))
    with pytest.raises(WeightsError, match=f"expected {hub.sha256}: it is damaged or another file"):
        fetch(hub.entry(), offline=True)


def test_a_file_that_changed_since_it_was_checked_is_checked_again(hub: Hub) -> None:
    path = fetch(hub.entry())
    path.write_bytes(hub.content[:-1] + b"x")
    with pytest.raises(WeightsError, match="damaged or another file"):
        fetch(hub.entry())


def _hub_copy(cache: Path, content: bytes, name: str) -> Path:
    """A file as huggingface_hub's own cache keeps it."""
    repository = cache / f"models--{REPOSITORY.replace('/', '--')}"
    blob, link = repository / "blobs" / name, repository / "snapshots" / REVISION / FILE
    blob.parent.mkdir(parents=True)
    link.parent.mkdir(parents=True)
    blob.write_bytes(content)
    link.symlink_to(os.path.relpath(blob, link.parent))
    return link


@pytest.mark.parametrize("known", [True, False])
def test_the_copy_of_another_program_is_used_where_it_lies(hub: Hub, tmp_path: Path, known: bool) -> None:
    copy = _hub_copy(tmp_path / "hub", hub.content, hub.sha256)
    entry = hub.entry() if known else hub.entry(sha256=None, size=None)
    assert is_cached(entry)
    assert fetch(entry, offline=True) == copy
    assert fetch(entry) == copy
    assert hub.requests == []


def test_a_damaged_copy_of_another_program_is_passed_over(hub: Hub, tmp_path: Path) -> None:
    _hub_copy(tmp_path / "hub", hub.content[:-1] + b"x", hub.sha256)
    assert fetch(hub.entry()) == location(hub.entry())
    assert hub.downloads == [None]


def _fetch_elsewhere(hub: Hub, first: str = "") -> "subprocess.Popen[str]":
    """Another process that fetches the same file into the same cache."""
    entry = hub.entry()
    code = first + f"from densevl.weights import WeightsEntry, fetch; print(fetch({entry!r}))"
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_fetch_a_file_once(hub: Hub) -> None:
    hub.delay = 1.0
    processes = [_fetch_elsewhere(hub) for _ in range(2)]
    outputs = [process.communicate(timeout=60) for process in processes]
    assert [output.strip() for output, _ in outputs] == [str(location(hub.entry()))] * 2, outputs
    assert hub.downloads == [None]
    assert sum("another process is fetching" in errors for _, errors in outputs) == 1
    assert location(hub.entry()).read_bytes() == hub.content


def test_a_full_disk_is_told_before_anything_is_fetched(hub: Hub) -> None:
    with pytest.raises(WeightsError, match=r"MB are still to come.*set DENSEVL_CACHE"):
        fetch(hub.entry(size=1 << 60))
    assert hub.requests == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_disk_that_fills_up(hub: Hub) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
    _, errors = _fetch_elsewhere(hub, limit).communicate(timeout=60)
    assert "WeightsError: cannot write" in errors
    assert "File too large; make room, or set DENSEVL_CACHE" in errors
    assert not location(hub.entry()).exists()
    assert fetch(hub.entry()).read_bytes() == hub.content
    assert hub.downloads == [None, "bytes=100000-"]


def test_a_cache_that_is_no_folder(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WeightsError, match=r"cannot write to the cache .*set DENSEVL_CACHE"):
        fetch(hub.entry(), cache=tmp_path / "file")


def test_a_path_in_place_of_a_name(tmp_path: Path) -> None:
    path = tmp_path / "my.safetensors"
    with pytest.raises(WeightsError, match=r"my\.safetensors does not exist; give a file, or one of clip-vit"):
        fetch(path)
    path.write_bytes(b"x")
    assert fetch(path) == fetch(str(path)) == path
    with pytest.raises(WeightsError, match="is a folder"):
        fetch(tmp_path)


def test_an_unknown_name() -> None:
    with pytest.raises(UsageError, match="did you mean clip-vit-b16-laion2b"):
        fetch("clip-vit-b16-laion")


def test_packaged_weights_need_no_cache(tmp_path: Path) -> None:
    entry = weights_entry("mini-clip")
    assert location(entry, tmp_path) == DATA / "mini" / "clip.safetensors"
    absent = WeightsEntry("absent", "mini/absent.safetensors", "clip", "MIT", packaged=True)
    with pytest.raises(
        WeightsError, match=r"absent\.safetensors, a part of densevl, is missing; install densevl again"
    ):
        fetch(absent)


def test_the_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DENSEVL_CACHE", "~/elsewhere")
    assert cache_dir() == Path.home() / "elsewhere"
    monkeypatch.delenv("DENSEVL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir() == tmp_path / "densevl"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_dir() == Path.home() / ".cache" / "densevl"
