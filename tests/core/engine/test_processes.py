"""Work in processes: what dies, fails, fills the disk, is interrupted or killed ends as it should."""

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from core.engine.workers import ShouterRecipe, Word
from toys.kills import hearing_interrupts, wait_until

from densevl.core.engine import Engine
from densevl.core.engine.chunks import Chunk, chunked
from densevl.core.errors import DensevlError, OutputError, UsageError, WeightsError

HERE = Path(__file__).parent
TWO = Engine(workers=2)


def words(text):
    return [Word(name) for name in text.split()]


def test_the_work_of_a_process_that_died_is_done_anew(tmp_path):
    items = words("a b once-c d e f g once-h i j k l m n o p")
    found = list(TWO.run(ShouterRecipe(tmp_path), items, 2))
    assert [(one.item, one.said) for one in found] == [(item, item.place.upper()) for item in items]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["once-c", "once-h"]


@pytest.mark.parametrize(
    ("recipe", "text", "kind", "message"),
    [
        (ShouterRecipe(ends="lacks weights"), "a b c d", WeightsError, "the weights are not here"),
        (ShouterRecipe(ends="dies"), "a b c d", DensevlError, r"died as they started \(exit code 9\)"),
        (ShouterRecipe(), "a b c full d e", OutputError, "the disk is full"),
        (ShouterRecipe(), "a b c bug d e", DensevlError, "a worker process failed: KeyError: 'bug'"),
        (lambda: None, "a b c d", UsageError, "cannot be sent to other processes"),
    ],
)
def test_what_no_item_can_be_done_with_ends_the_run_in_one_error(recipe, text, kind, message, capfd):
    with pytest.raises(kind, match=message):
        list(TWO.run(recipe, words(text), 1))
    assert multiprocessing.active_children() == []


def test_a_run_that_is_left_early_leaves_no_process():
    run = TWO.run(ShouterRecipe(), words("a b c d e f g h"), 1)
    assert next(run).said == "A"
    run.close()
    assert multiprocessing.active_children() == []


def test_processes_share_out_the_gpus(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    found = list(Engine(workers=2, gpus=1.0).run(ShouterRecipe(tmp_path), words("gpu1 gpu2 gpu3 gpu4"), 1))
    seen = {(one.took.worker, one.said) for one in found}
    assert sorted(gpu for _, gpu in seen) == ["2", "5"]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "2,5"


def test_one_chunk_is_done_here():
    assert [one.took.worker.rpartition(":")[2] for one in TWO.run(ShouterRecipe(), words("a"), 1)] == [str(os.getpid())]


def test_a_program_without_a_guard_is_told_so():
    done = run_program("unguarded.py", stdout=subprocess.PIPE).communicate(timeout=60)
    assert "below `if __name__ == '__main__':`" in done[1]
    assert done[1].count("\n") == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, -15), (signal.SIGINT, 130)])
def test_a_program_that_is_killed_or_interrupted_leaves_no_process(number, code):
    program = run_program("slow.py", stdout=subprocess.PIPE, start_new_session=True)
    assert program.stdout.readline() == "done\n"
    started = [pid for pid in processes_of(program.pid) if pid != program.pid]
    assert len(started) >= 2
    if number == signal.SIGINT:  # as a terminal does it: all of them
        os.killpg(program.pid, number)
    else:
        program.send_signal(number)
    assert "Traceback" not in program.communicate(timeout=30)[1]
    assert program.returncode == code
    wait_until(lambda: not processes_of(program.pid), seconds=30)


def test_chunks_are_whole_batches():
    items = [Word(str(place)) for place in range(100)]
    chunks = chunked(items, 8, 2)
    assert [chunk.start for chunk in chunks] == list(range(0, 100, 8))
    assert [item for chunk in chunks for item in chunk.items] == items
    assert all(len(batch) == 8 for chunk in chunks[:-1] for batch in chunk.batches)


def test_what_is_left_of_a_chunk_is_whole_batches_and_progress_clears_it():
    chunk = Chunk(10, ([0, 1], [2, 3], [4]), deaths=1)
    assert chunk.rest(1) == Chunk(10, chunk.batches, 2, True)
    assert chunk.rest(2) == Chunk(12, ([2, 3], [4]), 1, True)
    assert chunk.rest(3) == Chunk(12, ([2, 3], [4]), 1, True)
    assert chunk.rest(5) == Chunk(14, ([4],), 1, True)
    pieces = chunk.divided()
    assert [(piece.start, piece.items) for piece in pieces] == [(10, [0, 1]), (12, [2, 3]), (14, [4])]
    assert [(piece.start, piece.items) for piece in pieces[0].divided()] == [(10, [0]), (11, [1])]


def run_program(name, **settings):
    places = os.pathsep.join([str(HERE.parents[1]), str(HERE.parents[2])])
    command = [sys.executable, str(HERE / name)]
    environment = {**os.environ, "PYTHONPATH": places}
    with hearing_interrupts():
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, **settings)


def processes_of(group):
    """The processes of a group that live."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            state, _, own = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue
        if int(own) == group and state != "Z":
            found.append(int(entry.name))
    return found
