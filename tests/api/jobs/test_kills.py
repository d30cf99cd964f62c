"""Every job, in processes and on a Ray cluster: what is killed or full loses and doubles nothing."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from PIL import Image
from toys.kills import (
    LOG,
    NAMES,
    ON_RAY,
    PROCESSES,
    Job,
    Killer,
    descendants,
    grow,
    program,
    small_disk,
    space,
    wait_until,
)

from densevl.api.jobs import embed
from densevl.benchmarks.tables import measure
from densevl.cli import main
from densevl.core.engine import Engine
from densevl.datasets.scenes import render
from densevl.tasks.search import RegionIndex

SEGMENT = [
    "grass, sand, water, red circle",
    "--model",
    "mini-maskclip",
    "--batch",
    "2",
    "--save",
    "labels,overlay,coco",
]

REFER = ["the left shape", "a red circle", "--model", "mini", "--boxes"]
LABEL = ["--detector", "owlv2", "--threshold", "0.3", "--shard-size", "1", "--offline"]


def teach(file, *further):
    """The command that teaches what a file beside the images names."""
    return lambda images, out: [
        *("teach", str(images.with_name(file)), *further, "--model", "mini", "--log", str(out / LOG)),
        *("--out", str(out / "classes.safetensors")),
    ]


JOBS = {
    "segment": Job(lambda images, out: ["segment", str(images), *SEGMENT, "--out", str(out)], "*.record.json", 12),
    "label-regions": Job(
        lambda images, out: [
            *("label-regions", str(images), *LABEL, "--weights", str(images.with_name("owlv2")), "--out", str(out))
        ],
        "shard-*.tar",
        12,
    ),
    "refer": Job(
        lambda images, out: ["refer", str(images), *REFER, str(images / "boxes.json"), "--out", str(out)],
        "*.refer.json",
        12,
    ),
    "segment into packs": Job(
        lambda images, out: ["segment", str(images), *SEGMENT, "--pack", "2", "--out", str(out)], "results-*.tar", 6
    ),
    "teach regions": Job(teach("regions.json", "--views", "1"), LOG, 48),
    "teach pixels": Job(teach("pixels.json", "--for", "pixels", "--views", "0"), LOG, 16),
    "teach sequences": Job(teach("sequences.json", "--for", "sequences"), LOG, 12),
}
"""A job is a row: the tests below are run for each."""

PLACES = pytest.mark.parametrize("place", [PROCESSES, ON_RAY], ids=["processes", "ray"])
EACH = pytest.mark.parametrize("name", JOBS)


@pytest.fixture(scope="module")
def images(tmp_path_factory, tiny_owlv2):
    """Twelve scenes, so large that a worker can be killed in the middle of them, and a detector beside them."""
    folder = tmp_path_factory.mktemp("kills") / "images"
    folder.mkdir()
    folder.with_name("owlv2").symlink_to(tiny_owlv2[0])
    for number in range(12):
        Image.fromarray(render(5, number, size=(256, 320)).image).save(folder / f"{number:02}.png")
        (folder / f"{number:02}.txt").write_text("a red circle and a blue square on the grass")
    boxes = [[80 * left, 64 * top, 80 * left + 80, 64 * top + 64] for left in range(3) for top in range(3)]
    (folder / "boxes.json").write_text(json.dumps(boxes))
    for link in again(folder):
        link.symlink_to(folder)
    for name, shown in examples(folder).items():
        folder.with_name(f"{name}.json").write_text(json.dumps(shown))
    return folder


def again(folder):
    """The images under further names: more to do, at the cost of no pixel."""
    return [folder.with_name(f"images{number}") for number in range(4)]


def largest_thing(scene):
    """The largest box of the things of a scene."""
    return max(
        (list(map(int, thing.box)) for thing in scene.objects), key=lambda box: (box[2] - box[0]) * (box[3] - box[1])
    )


def examples(folder):
    """Examples by what is taught: a row of each list is an image or a sequence."""
    files = [(f"{number:02}.png", ("left", "right")[number % 2]) for number in range(12)]
    boxes = [largest_thing(render(5, number, size=(256, 320))) for number in range(12)]
    boxed = [
        {"image": str(place / file), "name": name, "box": box}
        for place in again(folder)
        for (file, name), box in zip(files, boxes, strict=True)
    ]
    frames = [{"sequence": str(folder / file), "name": name} for file, name in files]
    return {"regions": boxed, "pixels": boxed[:4], "sequences": frames}


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
    wait_until(lambda: not [pid for pid, command in started.items() if NAMES[place] in command and is_alive(pid)], 120)
    assert job.marks(tmp_path) < job.items
    assert run(job, images, tmp_path, "--threads", "1") == 0
    job.check_equal(tmp_path, plain(name))
    wait_until(lambda: not [pid for pid in started if is_alive(pid)])  # Ray's own ones look for it once a minute


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
        assert job.contents(out).keys() < job.contents(plain(name)).keys()
        grow(disk, 4 * room)
        assert run(job, images, out, *place) == 0
        job.check_equal(out, plain(name))


EMBED = ["--model", "mini", "--boxes"]
OFTEN = "import densevl.api.jobs.embed as job; job.PART_SECONDS = -1.0; from densevl.cli import main; main({arguments})"


@pytest.mark.slow
@PLACES
def test_a_killed_embedding_goes_on_and_has_each_region_once(place, images, tmp_path):
    """It loses what was not written yet, at most that of a minute; here it writes after each image."""
    one, out = tmp_path / "one", tmp_path / "out"
    arguments = ["embed", str(images), *EMBED, str(images / "boxes.json"), "--batch", "1", "--out"]
    assert main([*arguments, str(one), "--threads", "1"]) == 0
    command = [sys.executable, "-c", OFTEN.format(arguments=[*arguments, str(out), *place])]
    with subprocess.Popen(command, start_new_session=True) as running:
        wait_until(lambda: list(out.glob("part-*")))
        started = descendants(running.pid)
        running.send_signal(signal.SIGKILL)
        running.wait()
    wait_until(lambda: not [pid for pid in started if is_alive(pid)], 60)
    done = len(RegionIndex.open(out).images)
    assert 0 < done < 12
    assert main([*arguments, str(out), *PROCESSES]) == 0
    found, whole = RegionIndex.open(out), RegionIndex.open(one)
    assert found.images == whole.images
    assert torch.equal(found.vectors, whole.vectors)


@pytest.mark.slow
def test_a_killed_process_of_an_embedding_loses_and_doubles_nothing(images, tmp_path, monkeypatch):
    """The index has the same bytes."""
    monkeypatch.setattr(embed, "PART_SECONDS", -1.0)
    arguments = ["embed", str(images), *EMBED, str(images / "boxes.json"), "--batch", "1", "--out"]
    job = Job(lambda images, out: [*arguments, str(out)], "part-*", 1)
    assert main([*arguments, str(tmp_path / "one"), "--threads", "1"]) == 0
    killer = Killer(job, tmp_path / "two", NAMES[PROCESSES])
    killer.start()
    assert main([*arguments, str(tmp_path / "two"), *PROCESSES]) == 0
    killer.join()
    assert killer.done is not None
    job.check_equal(tmp_path / "two", tmp_path / "one")


@pytest.mark.slow
def test_a_killed_evaluation_goes_on_to_the_same_figures(tmp_path):
    arguments = ["test", "maskclip_scenes", *PROCESSES, "--work-dir"]
    sizes = ["test_dataloader.dataset.length=40", "test_dataloader.dataset.size=128", "batch_size=1"]
    options = ["--cfg-options", "weights=random:0", "test_dataloader.num_workers=0", "model.templates=none", *sizes]
    assert main([*arguments, str(tmp_path / "one"), *options]) == 0
    kept = tmp_path / "two" / "images.jsonl"
    with program([*arguments, str(tmp_path / "two"), *options]) as running:
        wait_until(lambda: kept.is_file() and len(kept.read_bytes().splitlines()) > 2)
        running.send_signal(signal.SIGKILL)
        running.wait()
    assert kept.is_file()
    assert main([*arguments, str(tmp_path / "two"), *options]) == 0
    assert not kept.exists()
    one, two = (json.loads((tmp_path / name / "results.json").read_text())["scores"] for name in ("one", "two"))
    assert one == two


BOARD = """
from pathlib import Path
import densevl.benchmarks.leaderboard.run as board
from densevl.benchmarks.tables import measure
from densevl.core.engine import Engine
if __name__ == "__main__":
    board.SECONDS = -1.0
    engine = Engine(2, {ray!r}, 1)
    measure("benchmarks", 40, models=["mini-maskclip", "mini-naclip"], out=Path({out!r}), engine=engine)
"""


@pytest.mark.slow
@pytest.mark.parametrize("killed", ["the program", "a worker"])
@pytest.mark.parametrize("place", [PROCESSES, ON_RAY], ids=["processes", "ray"])
def test_a_killed_leaderboard_goes_on_to_the_same_figures(place, killed, tmp_path):
    """It keeps what was reached once a minute; here it does so after each image."""
    program, out = tmp_path / "board.py", tmp_path / "killed"
    program.write_text(BOARD.format(ray="local" if place == ON_RAY else None, out=str(out)))
    with subprocess.Popen([sys.executable, str(program)], start_new_session=True) as running:
        wait_until(lambda: list(out.rglob("*.npz")))
        started = descendants(running.pid)
        workers = [pid for pid, command in started.items() if NAMES[place] in command]
        assert workers
        os.kill(running.pid if killed == "the program" else workers[-1], signal.SIGKILL)
        assert (running.wait() == 0) == (killed == "a worker")
    wait_until(lambda: not [pid for pid in started if is_alive(pid)], 180)
    if killed == "the program":
        assert not (out / "benchmarks.json").exists()
    again, whole = (leaderboard(folder) for folder in (out, tmp_path / "whole"))
    assert again == whole


def leaderboard(folder):
    """The figures of a run in this process, without those of time."""
    measure("benchmarks", 40, models=["mini-maskclip", "mini-naclip"], out=folder, engine=Engine(threads=1))
    models = json.loads((folder / "benchmarks.json").read_text())["models"]
    for row in models:
        del row["images_per_second"], row["sets"]["scenes"]["images_per_second"]
    return models


def is_alive(pid):
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
