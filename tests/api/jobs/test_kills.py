"""Every job, in processes and on a Ray cluster: what is killed or full loses and doubles nothing."""

import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest
from PIL import Image
from toys.kills import NAMES, ON_RAY, PROCESSES, Job, Killer, descendants, grow, program, small_disk, space, wait_until

from densevl.cli import main
from densevl.datasets.scenes import render

SEGMENT = [
    "grass, sand, water, red circle",
    "--model",
    "mini-maskclip",
    "--batch",
    "2",
    "--save",
    "labels,overlay,coco",
]

JOBS = {
    "segment": Job(lambda images, out: ["segment", str(images), *SEGMENT, "--out", str(out)], "*.record.json", 12),
}
"""A job is a row: the tests below are run for each."""

PLACES = pytest.mark.parametrize("place", [PROCESSES, ON_RAY], ids=["processes", "ray"])
EACH = pytest.mark.parametrize("name", JOBS)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Twelve scenes, so large that a worker can be killed in the middle of them."""
    folder = tmp_path_factory.mktemp("images")
    for number in range(12):
        Image.fromarray(render(5, number, size=(256, 320)).image).save(folder / f"{number:02}.png")
    return folder


@pytest.fixture(scope="module")
def plain(tmp_path_factory, images):
    """What one process makes of a job."""
    made = {}

    def make(name):
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name)
            assert run(JOBS[name], images, made[name], "--threads", "1") == 0
            assert JOBS[name].marks(made[name]) == JOBS[name].items
        return made[name]

    return make


def run(job, images, out, *where):
    return main([*job.arguments(images, out), *where])


@pytest.fixture
def cluster():
    """A local Ray cluster whose files lie apart; pytest's folders are too deep for sockets."""
    ray = pytest.importorskip("ray")
    import densevl.core.engine.on_ray  # noqa: F401  # sets how much Ray says

    own = tempfile.mkdtemp(prefix="ray-")
    ray.init(
        num_cpus=2,
        object_store_memory=80 * 2**20,
        include_dashboard=False,
        _temp_dir=own,
        log_to_driver=False,
        logging_level="ERROR",
    )
    yield
    ray.shutdown()
    shutil.rmtree(own, ignore_errors=True)


def check_killed_worker(name, place, images, plain, out):
    job = JOBS[name]
    killer = Killer(job, out, NAMES[place])
    killer.start()
    assert run(job, images, out, *place) == 0
    killer.join()
    assert killer.done is not None
    assert killer.done < job.items
    job.check_equal(out, plain(name))


def test_a_killed_process_loses_and_doubles_nothing(images, plain, tmp_path):
    check_killed_worker("segment", PROCESSES, images, plain, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in JOBS if name != "segment"])
def test_a_killed_process_of_any_job_loses_and_doubles_nothing(name, images, plain, tmp_path):
    check_killed_worker(name, PROCESSES, images, plain, tmp_path)


@pytest.mark.slow
@EACH
@pytest.mark.usefixtures("cluster")
def test_a_killed_worker_of_a_cluster_loses_and_doubles_nothing(name, images, plain, tmp_path):
    check_killed_worker(name, ON_RAY, images, plain, tmp_path)


@pytest.mark.slow
@PLACES
@EACH
def test_a_killed_program_leaves_no_process_and_its_run_goes_on(name, place, images, plain, tmp_path):
    job = JOBS[name]
    with program([*job.arguments(images, tmp_path), *place]) as running:
        wait_until(lambda: job.marks(tmp_path))
        started = descendants(running.pid)
        assert [command for command in started.values() if NAMES[place] in command]
        running.send_signal(signal.SIGKILL)
        running.wait()
    wait_until(lambda: not [pid for pid in started if is_alive(pid)], 60)
    assert job.marks(tmp_path) < job.items
    assert run(job, images, tmp_path, "--threads", "1") == 0
    job.check_equal(tmp_path, plain(name))


@pytest.mark.slow
@EACH
def test_an_interrupt_keeps_what_is_done_and_the_run_goes_on(name, images, plain, tmp_path):
    job = JOBS[name]
    with program([*job.arguments(images, tmp_path), *PROCESSES]) as running:
        wait_until(lambda: job.marks(tmp_path))
        os.killpg(running.pid, signal.SIGINT)  # as a terminal does it: to all of them
        said = running.communicate(timeout=60)[1]
    assert running.returncode == 130
    assert said.splitlines()[-1:] == ["densevl: interrupted; run the same command again to go on"]
    assert "Traceback" not in said
    assert 0 < job.marks(tmp_path) < job.items
    assert not list(tmp_path.rglob(".*.*"))
    assert run(job, images, tmp_path, "--threads", "1") == 0
    job.check_equal(tmp_path, plain(name))


@pytest.mark.slow
@PLACES
@EACH
def test_a_full_disk_ends_the_run_in_one_line_and_it_goes_on_with_more_room(
    name, place, images, plain, tmp_path, request, capfd
):
    job, room = JOBS[name], space(plain(name))
    if place == ON_RAY:
        request.getfixturevalue("cluster")
    with small_disk(room // 2) as disk:
        out = disk / "out"
        assert run(job, images, out, *place) == 1
        said = capfd.readouterr().err.splitlines()
        assert [line for line in said if "No space left on device" in line] == said[-1:]
        assert not [path for path in out.rglob(".*") if path.name not in job.passing]
        assert job.marks(out) < job.items
        grow(disk, 4 * room)
        assert run(job, images, out, *place) == 0
        job.check_equal(out, plain(name))


def is_alive(pid):
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
