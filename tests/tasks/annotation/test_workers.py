"""Parts in one process, in several, and on a Ray cluster: the same bytes, also where a worker is killed."""

import os
import shutil
import signal
import tempfile
import threading
import time
from pathlib import Path

import pytest
import torch

from densevl.core.errors import DensevlError, WeightsError
from densevl.datasets.region_texts import read_records
from densevl.tasks.annotation.parts import plan_parts
from densevl.tasks.annotation.settings import LabelSettings
from densevl.tasks.annotation.workers import Outcome, PartWorker, in_processes, shard_path

PARTS = 6


@pytest.fixture(scope="module")
def settings(tiny_owlv2):
    return LabelSettings({"type": "owlv2", "weights": str(tiny_owlv2[0])}, threshold=0.3, batch=2, offline=True)


@pytest.fixture(scope="module")
def parts(tmp_path_factory, make_picture):
    """Parts of pictures so large that decoding takes a while, so that a worker can be killed in the middle of one."""
    folder = tmp_path_factory.mktemp("large")
    for i in range(PARTS):
        for j in range(4):
            (folder / f"{i}{j}.png").write_bytes(make_picture(10 * i + j, (500, 700)))
            (folder / f"{i}{j}.txt").write_text(f"a red dog, a tree and {'a cat' if j else 'two cars'} on the grass")
    return plan_parts([folder], 4)


@pytest.fixture(scope="module")
def plain(tmp_path_factory, settings, parts):
    """The shards of one process."""
    out, threads = tmp_path_factory.mktemp("plain"), torch.get_num_threads()
    outcomes = [PartWorker(settings, out, "webdataset", threads=1)(part) for part in parts]
    torch.set_num_threads(threads)
    assert [(one.index, one.records, one.failed, one.error) for one in outcomes] == [
        (i, 4, 0, None) for i in range(PARTS)
    ]
    assert all(one.regions > 4 for one in outcomes)
    return out


def check_equal(out, plain):
    """Byte-equal shards, every record once."""
    names = sorted(path.name for path in plain.iterdir())
    assert sorted(path.name for path in out.iterdir()) == names
    for name in names:
        assert (out / name).read_bytes() == (plain / name).read_bytes()
    keys = [record.key for record in read_records(out)]
    assert len(keys) == len(set(keys)) == 4 * PARTS


def descendants(pid):
    """Processes that this one has started, and those that these have, by (pid, command)."""
    parents, names = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                status = (entry / "stat").read_text().rpartition(")")[2].split()
                names[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (OSError, IndexError):
                continue
            parents[int(entry.name)] = int(status[1])
    found, level = {}, [pid]
    while level:
        level = [child for child, parent in parents.items() if parent in level]
        found.update({child: names[child] for child in level})
    return found


class Killer(threading.Thread):
    """Kills one worker of this program as soon as the first shard is there."""

    def __init__(self, out, mark):
        super().__init__(daemon=True)
        self.out, self.mark, self.killed, self.done = out, mark, [], 0

    def run(self):
        deadline = time.monotonic() + 120
        while not self.killed and time.monotonic() < deadline:
            if any(self.out.glob("shard-*")):
                workers = [pid for pid, name in descendants(os.getpid()).items() if self.mark in name]
                if workers:
                    os.kill(workers[-1], signal.SIGKILL)
                    self.done = len(list(self.out.glob("shard-*")))
                    self.killed = workers[-1:]
            time.sleep(0.005)


@pytest.mark.slow
def test_several_processes_write_the_same_bytes_also_where_one_is_killed(settings, parts, plain, tmp_path):
    killer = Killer(tmp_path, "spawn_main")
    killer.start()
    outcomes = list(in_processes(PartWorker(settings, tmp_path, "webdataset", threads=1), parts, 2))
    killer.join()
    assert killer.killed
    assert killer.done < PARTS
    assert sorted(one.index for one in outcomes) == list(range(PARTS))
    check_equal(tmp_path, plain)


@pytest.mark.slow
def test_ray_writes_the_same_bytes_also_where_a_worker_is_killed(settings, parts, plain, tmp_path):
    ray = pytest.importorskip("ray")
    from densevl.tasks.annotation.on_ray import on_ray

    own = tempfile.mkdtemp(prefix="ray-")  # not below pytest's folder: the names of sockets are short
    ray.init(
        num_cpus=2,
        object_store_memory=80 * 2**20,
        include_dashboard=False,
        _temp_dir=own,
        log_to_driver=False,
        logging_level="ERROR",
    )
    try:
        killer = Killer(tmp_path, "ray::MapWorker")
        killer.start()
        outcomes = list(on_ray(PartWorker(settings, tmp_path, "webdataset", threads=1), parts, 2))
        killer.join()
    finally:
        ray.shutdown()
        shutil.rmtree(own, ignore_errors=True)
    assert killer.killed
    assert killer.done < PARTS
    assert sorted(one.index for one in outcomes) == list(range(PARTS))
    assert all(one.records == 4 for one in outcomes)
    check_equal(tmp_path, plain)


def test_what_no_part_can_be_labelled_with_is_told_as_it_was(parts, tmp_path):
    settings = LabelSettings({"type": "owlv2", "weights": str(tmp_path)}, offline=True)
    outcome = PartWorker(settings, tmp_path, "webdataset")(parts[0])
    with pytest.raises(WeightsError, match=r"fetch config\.json"):
        outcome.check()
    assert not shard_path(tmp_path, 0, "webdataset").exists()
    assert Outcome(3).check() == Outcome(3)
    with pytest.raises(DensevlError, match="else"):
        Outcome(3, error=("SomethingElse", "else")).check()
