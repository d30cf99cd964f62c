"""Work on a local Ray cluster: the outcomes of one process, quietly, and counters for Prometheus."""

import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from core.engine.workers import ShouterRecipe, Word
from toys.kills import wait_until

from densevl.core.engine import Engine, Pipeline
from densevl.core.engine.chunks import Chunk
from densevl.core.errors import DensevlError, WeightsError

WORDS = [Word(name) for name in [*"abc", "bad", "d", "kill", *"efghij", "once-k", "l"]]
TESTS = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cluster():
    """Two workers of this machine, which know the toys, and where it shows its counters."""
    ray = pytest.importorskip("ray")
    import densevl.core.engine.on_ray  # noqa: F401  # sets how much Ray says

    places = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        runtime_env={"env_vars": {"PYTHONPATH": places}},
        _system_config={"metrics_report_interval_ms": 500},
    )
    (node,) = ray.nodes()
    yield f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    ray.shutdown()


@pytest.mark.slow
def test_a_cluster_gives_what_one_process_gives_and_counts_it(cluster, tmp_path):
    pytest.importorskip("opentelemetry.exporter.prometheus")
    found = list(Engine(workers=2, ray="local").run(ShouterRecipe(tmp_path), WORDS, 2))
    here = list(Engine().run(ShouterRecipe(tmp_path), [word for word in WORDS if word.place != "kill"], 2))
    assert [one for one in found if one.item.place != "kill"] == here
    assert "died 2 times" in found[WORDS.index(Word("kill"))].failure.reason
    counted = re.compile(r"^ray_densevl_items_(\w+)_total\{.*\} (\S+)$", re.M)

    def counts():
        text = urllib.request.urlopen(cluster, timeout=10).read().decode()
        total = {"done": 0.0, "failed": 0.0}
        for kind, number in counted.findall(text):
            total[kind] += float(number)
        return total if "ray_densevl_step_seconds_bucket{" in text and 'step="make"' in text else {}

    wait_until(lambda: counts().get("done", 0) >= 4, 60)  # workers that died take theirs with them
    assert counts()["failed"] >= 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ends", "kind", "message"),
    [("lacks weights", WeightsError, "the weights are not here"), ("dies", DensevlError, "died as they started")],
)
@pytest.mark.usefixtures("cluster")
def test_a_worker_that_cannot_be_made_ends_the_run_in_one_error(ends, kind, message):
    with pytest.raises(kind, match=message):
        list(Engine(workers=2, ray="local").run(ShouterRecipe(ends=ends), WORDS, 2))


@pytest.mark.slow
def test_no_word_of_ray_reaches_the_user(tmp_path):
    pytest.importorskip("ray")
    places = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("quiet.py")), str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": places},
    )
    assert (done.stdout, done.stderr) == ("A B ONCE-C D\n", "")


@pytest.mark.slow
def test_without_a_cluster_the_cure_is_named(monkeypatch, tmp_path):
    pytest.importorskip("ray")
    from densevl.core.engine.on_ray import on_ray

    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    with pytest.raises(DensevlError, match=r"no Ray cluster could be reached at auto .*ray start --head"):
        list(on_ray(ShouterRecipe(), [Chunk(0, ([Word("a")],))], 1, None, Pipeline(), "auto"))
